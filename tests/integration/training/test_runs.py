"""Runs on disk: versions, checkpoints, curves."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")


from srgan.errors import CannotWrite  # noqa: E402
from srgan.training import runs  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.runs import Run, config_hash, finished_run, open_run, unfinished_run  # noqa: E402

Config = Callable[..., TrainConfig]


def finish(run: Run) -> None:
    run.bundle.mkdir()


# -------------------------------------------------------------------------------------------------------- versions


def test_a_new_run_is_version_one(make_config: Config, tmp_path: Path) -> None:
    config = make_config()
    run = open_run(config, resume=True)

    assert run.folder == tmp_path / "runs" / "tiny" / "001"
    assert run.checkpoints() == []
    assert TrainConfig.model_validate_json((run.folder / "config.json").read_text()) == config


def test_an_unfinished_run_of_the_same_configuration_is_continued(make_config: Config) -> None:
    first = open_run(make_config(), resume=True)

    assert open_run(make_config(), resume=True) == first


def test_another_configuration_begins_a_new_version(make_config: Config) -> None:
    open_run(make_config(), resume=True)

    assert open_run(make_config(optimiser__learning_rate=1e-4), resume=True).folder.name == "002"
    assert open_run(make_config(seed=1), resume=True).folder.name == "003"


@pytest.mark.parametrize("later", ["finished", "unfinished", "lost", "many"])
def test_a_run_is_gone_on_with_whatever_has_run_after_it(
    later: str, make_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_run(make_config(steps=2000), resume=True)
    for seed in range(12 if later == "many" else 1):
        other = open_run(make_config(steps=60, seed=seed), resume=False)
        if later in ("finished", "many"):
            finish(other)
        if later == "lost":
            (other.folder / "config.json").write_text("{")
            other.checkpoint(20).touch()

    assert open_run(make_config(steps=2000), resume=True) == first
    assert caplog.messages == []


def test_of_two_runs_of_the_same_settings_the_newer_is_gone_on_with(make_config: Config) -> None:
    first = open_run(make_config(), resume=True)
    second = open_run(make_config(), resume=False)
    assert unfinished_run(make_config()) == second
    finish(second)
    assert unfinished_run(make_config()) == first


def test_all_runs_that_are_passed_over_are_told_of(make_config: Config, caplog: pytest.LogCaptureFixture) -> None:
    for batch in (5, 6):
        open_run(make_config(data__batch=batch), resume=False)
    lost = open_run(make_config(), resume=False)
    lost.checkpoint(20).touch()
    (lost.folder / "config.json").unlink()
    empty = open_run(make_config(), resume=False)
    (empty.folder / "config.json").unlink()
    assert open_run(make_config(seed=1), resume=True).folder.name == "005"
    said = [message.partition("tiny")[2][1:].partition("; --resume RUN")[0] for message in caplog.messages]
    assert said == [
        "003 is unfinished, but its config.json cannot be read, so a new run starts",
        "002 is unfinished but has different settings (seed, data.batch), so a new run starts",
        "001 is unfinished but has different settings (seed, data.batch), so a new run starts",
    ]


def test_a_finished_run_is_found_behind_others(make_config: Config) -> None:
    first = open_run(make_config(), resume=True)
    finish(first)
    open_run(make_config(seed=1), resume=True)
    assert finished_run(make_config()) == first
    assert finished_run(make_config(seed=1)) is None


def test_an_unfinished_run_with_other_settings_is_not_passed_over_in_silence(
    make_config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    open_run(make_config(), resume=True)
    run = open_run(make_config(data__batch=5, seed=3), resume=True)
    assert run.folder.name == "002"
    (said,) = caplog.messages
    assert "001 is unfinished but has different settings (seed, data.batch), so a new run starts; --resume RUN" in said

    open_run(make_config(data__batch=6), resume=False)
    assert len(caplog.messages) == 1, "who asks for a new run knows"


def test_a_finished_run_is_not_continued(make_config: Config) -> None:
    finish(open_run(make_config(), resume=True))

    assert open_run(make_config(), resume=True).folder.name == "002"


def test_what_could_be_continued_is_looked_for_without_beginning_anything(make_config: Config, tmp_path: Path) -> None:
    assert unfinished_run(make_config()) is None
    assert not (tmp_path / "runs").exists()
    run = open_run(make_config(), resume=True)
    assert unfinished_run(make_config()) == run
    assert unfinished_run(make_config(seed=1)) is None
    finish(run)
    assert unfinished_run(make_config()) is None


def test_a_run_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(CannotWrite, match="another process is training in this run; wait for it, or use --fresh")
    with Run(tmp_path).held(), refused, Run(tmp_path).held():
        pytest.fail("it was held twice")
    with Run(tmp_path).held():
        pass
    with pytest.raises(CannotWrite, match=r"nowhere.lock: "), Run(tmp_path / "nowhere").held():
        pytest.fail("there is nothing to hold")


def test_without_resume_a_new_version_is_begun(make_config: Config) -> None:
    open_run(make_config(), resume=True)

    assert open_run(make_config(), resume=False).folder.name == "002"


def test_versions_are_counted_beyond_three_digits(make_config: Config, tmp_path: Path) -> None:
    for name in ("999", "1000", "002", "notes"):
        (tmp_path / "runs" / "tiny" / name).mkdir(parents=True)

    assert open_run(make_config(), resume=True).folder.name == "1001"


def test_a_run_goes_on_under_settings_that_change_no_weights(make_config: Config, tmp_path: Path) -> None:
    """On another device, with other words and other habits; its folder may have been moved too."""
    run = open_run(make_config(), resume=True)
    other = make_config(
        hardware={"device": "auto", "precision": "fp32", "threads": 2, "compile": True},
        output__keep=1,
        output__checkpoint_every=3,
        output__samples=2,
        output__description="Put right.",
        output__licence="MIT",
    )
    assert open_run(other, resume=True) == run
    (tmp_path / "runs").rename(tmp_path / "moved")
    moved = make_config(output__runs=tmp_path / "moved")
    assert open_run(moved, resume=True).folder == tmp_path / "moved" / "tiny" / "001"
    assert unfinished_run(make_config(output__runs=tmp_path / "moved", hardware__precision="bf16")) is None


def test_a_configuration_saved_before_a_key_existed_still_counts(make_config: Config) -> None:
    """A newer srgan goes on with the runs of an older one."""
    run = open_run(make_config(), resume=True)
    saved = json.loads((run.folder / "config.json").read_text())
    del saved["data"]["refresh"], saved["output"]["keep"]
    (run.folder / "config.json").write_text(json.dumps(saved))

    assert open_run(make_config(), resume=True) == run
    assert open_run(make_config(data__refresh=7), resume=True) != run


@pytest.mark.parametrize("recipe", ["pretrain", "adversarial", "ensemble"])
def test_a_configuration_saved_when_all_recipes_shared_their_sections_still_counts(
    recipe: str, make_config: Config
) -> None:
    run = open_run(make_config(recipe=recipe), resume=True)
    saved = json.loads((run.folder / "config.json").read_text())
    for section in ("discriminator", "updates", "ensemble"):
        saved.setdefault(section, json.loads(make_config(recipe="ensemble").model_dump_json())[section])
    (run.folder / "config.json").write_text(json.dumps(saved))

    assert open_run(make_config(recipe=recipe), resume=True) == run
    (run.folder / "config.json").write_text(json.dumps({**saved, "typo": 1}))
    assert unfinished_run(make_config(recipe=recipe)) is None, "what nobody ever wrote is no configuration"


@pytest.mark.parametrize("content", [None, "", "{", '{"steps": "many"}'])
def test_a_run_whose_configuration_is_lost_is_left_alone(make_config: Config, content: str | None) -> None:
    run = open_run(make_config(), resume=True)
    if content is None:
        (run.folder / "config.json").unlink()
    else:
        (run.folder / "config.json").write_text(content)

    assert open_run(make_config(), resume=True).folder.name == "002"


def test_a_place_that_cannot_be_written(make_config: Config, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(CannotWrite, match=r"runs.tiny.001: "):
        open_run(make_config(), resume=True)


def test_the_hash_tells_configurations_apart(make_config: Config) -> None:
    assert config_hash(make_config()) == config_hash(make_config())
    assert config_hash(make_config()) != config_hash(make_config(seed=1))


def test_the_commit_is_that_of_the_checkout(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[3:])
        return subprocess.CompletedProcess(command, 0, stdout="0123456789ab-dirty\n")

    monkeypatch.setattr(runs.subprocess, "run", run)

    assert open_run(make_config(), resume=True).commit == "0123456789ab-dirty"
    assert asked[0][:2] == ["ls-files", "--error-unmatch"]
    assert asked[1][0] == "describe"


def test_a_package_in_the_tree_of_something_else_has_no_commit(
    make_config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "project"
    (home / "venv").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(home)], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(home), *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(runs, "__file__", str(home / "venv" / "runs.py"))

    assert open_run(make_config(), resume=True).commit == ""


def test_without_git_there_is_no_commit(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert open_run(make_config(), resume=True).commit == ""


# ----------------------------------------------------------------------------------------------------------- curve


def test_the_curve_has_a_line_for_each_validation(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.note({"step": 10, "psnr": 28.5})
    run.note({"step": 20, "psnr": 29.0})

    assert (tmp_path / "curve.csv").read_bytes() == b"step,psnr\n10,28.5\n20,29.0\n"


def test_rewinding_drops_what_is_made_again(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.rewind(0)
    for step in (10, 20, 30):
        run.note({"step": step, "psnr": 28.5})

    run.rewind(30)
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 4
    run.rewind(20)
    run.note({"step": 30, "psnr": 30.0})

    assert (tmp_path / "curve.csv").read_text().splitlines() == ["step,psnr", "10,28.5", "20,28.5", "30,30.0"]
    assert [path.name for path in tmp_path.iterdir()] == ["curve.csv"]


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (b"", b""),
        (b"step,ps", b""),
        (b"step,psnr\n", b"step,psnr\n"),
        (b"step,psnr\n10,28.5\n20,29", b"step,psnr\n10,28.5\n"),
        (b"step,psnr\n10,28.5\n\n20,29.0\n", b"step,psnr\n10,28.5\n20,29.0\n"),
        (b"step,psnr\n10\n1e1,28.5\n,28.5\n20,29.0,1\n20,29.0\n", b"step,psnr\n20,29.0\n"),
        (b"step,psnr\n10,28.5\n" + bytes(40), b"step,psnr\n10,28.5\n"),
        (b"step,psnr\n\xff\xfe,28.5\n", b"step,psnr\n"),
    ],
    ids=["emptied", "half a heading", "heading", "half a line", "blank line", "cells", "zeros", "no text"],
)
def test_what_a_killed_process_left_of_a_curve_is_put_right(tmp_path: Path, left: bytes, kept: bytes) -> None:
    run, path = Run(tmp_path), tmp_path / "curve.csv"
    path.write_bytes(left)
    run.rewind(20)
    assert path.read_bytes() == kept
    run.note({"step": 30, "psnr": 30.0})

    assert path.read_bytes() == (kept or b"step,psnr\n") + b"30,30.0\n"


def test_a_curve_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.note({"step": 20})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(CannotWrite, match=r"curve\.csv: No space left"):
            run.rewind(10)
    (tmp_path / "curve.csv").unlink()
    (tmp_path / "curve.csv").mkdir()
    with pytest.raises(CannotWrite, match=r"curve\.csv"):
        run.note({"step": 1})
    with pytest.raises(CannotWrite, match=r"curve\.csv"):
        run.rewind(1)


def test_pruning_keeps_the_latest_and_the_best(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for step in (100, 200, 300, 400, 500):
        run.checkpoint(step).touch()
    (tmp_path / "checkpoints" / "notes.txt").touch()

    run.prune(2, best=200)
    assert [path.name for path in run.checkpoints()] == [f"step-{step:08d}.safetensors" for step in (200, 400, 500)]
    run.prune(2, best=500)
    assert run.checkpoints() == [run.checkpoint(400), run.checkpoint(500)]
    run.prune(2, best=0)
    assert len(run.checkpoints()) == 2
    assert (tmp_path / "checkpoints" / "notes.txt").exists()
