"""The real library of Weights & Biases, offline: what it writes, and what it must not. Skipped where it is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from srgan.training.config import TrainConfig
from srgan.training.curves import Wandb
from srgan.training.runs import Run

folder = Path(sys.argv[1])
config = TrainConfig.model_validate(
    {"data": {"folders": ["p"]}, "output": {"name": "mine", "wandb": "project"}, "seed": 4711}
)
for first in (20, 40):  # an interrupted run goes on: it steps back from 60 to 40
    sink = Wandb(config, Run(folder))
    for step in (first, first + 20):
        sink.add(step, {"loss": 1 / step})
    sink.show(first + 20, np.zeros((4, 6, 3), np.uint8), "bicubic, output, original")
    sink.judge(first + 20, {"psnr": 30.0}, loss=0.5, seconds=1.0)
    print("printed by training")
    sink.close()

from wandb.proto import wandb_internal_pb2

def records(content):
    # Of a .wandb file: a head of 7 bytes, then blocks of 32 KiB with pieces (checksum, length, kind, text).
    place, text = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        text += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield wandb_internal_pb2.Record.FromString(text)
            text = b""

told = {"points": [], "config": {}, "ids": []}
for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
    for record in records(file.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            point = {name: json.loads(value) for name, value in items.items() if not name.startswith("_")}
            told["points"].append(point)
        if kind == "run":
            told["ids"].append(record.run.run_id)
            told["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
print(json.dumps(told))
"""
KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a run that went on once, and what wandb's own files say of it."""
    pytest.importorskip("wandb", reason="needs the extra wandb, which is not part of the development tools")
    folder = tmp_path_factory.mktemp("wandb") / "001"
    folder.mkdir()
    home = {"HOME": str(folder.parent), "WANDB_MODE": "offline", "WANDB_API_KEY": KEY, "WANDB_SILENT": "true"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env={name: value for name, value in os.environ.items() if not name.startswith("WANDB_")} | home,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


def test_points_pictures_and_settings_are_written(offline: tuple[Path, dict[str, Any]]) -> None:
    folder, told = offline

    assert [point for point in told["points"] if "loss" in point] == [
        {"loss": 1 / step, "step": step} for step in (20, 40, 40, 60)
    ]
    assert [point["step"] for point in told["points"] if "validation/psnr" in point] == [40, 60]
    assert told["config"]["seed"] == 4711
    assert len(list(folder.glob("wandb/offline-run-*/files/media/images/*.png"))) == 2
    assert len(set(told["ids"])) == 1, "one run for wandb too"


def test_neither_key_nor_code_nor_console_is_kept(offline: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = offline
    files = [path for path in folder.rglob("*") if path.is_file()]

    assert files
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content, path
        assert b"printed by training" not in content, path
        assert path.suffix not in (".py", ".patch"), path
