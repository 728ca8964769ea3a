"""`srgan batch-process` as people and scripts run it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

BICUBIC = ("--model", "bicubic", "--scale", "2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tree with three pictures, a damaged one, and a file that is none."""
    top = tmp_path / "in"
    (top / "deep" / "deeper").mkdir(parents=True)
    for index, name in enumerate(["a.png", "deep/b.jpg", "deep/deeper/c.png"]):
        Image.effect_noise((8 + index, 6), 60).save(top / name)
    (top / "deep" / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\nand then nothing")
    (top / "notes.txt").write_text("no picture")
    return top


def tree(folder: Path) -> set[str]:
    """All files but the journal."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(".srgan/journal.jsonl")}


@pytest.mark.parametrize("name", ["batch-process", "batch"])
def test_a_tree_is_mirrored_and_one_bad_file_costs_only_itself(name: str, srgan, folder: Path, tmp_path: Path) -> None:
    done = srgan(name, "in", "out", *BICUBIC)
    assert done.returncode == 1
    assert tree(tmp_path / "out") == {"a.png", "deep/b.jpg", "deep/deeper/c.png"}
    with Image.open(tmp_path / "out" / "deep" / "b.jpg") as picture:
        assert (picture.size, picture.format) == ((18, 12), "JPEG")
    assert done.stdout.startswith(b"3 done, 1 failed of 4 in ")
    assert done.stdout.count(b"\n") == 1
    assert done.stderr.startswith(b"srgan: error: in/deep/damaged.png: ")
    assert done.stderr.count(b"\n") == 1


def test_without_bad_files_the_exit_code_is_zero_and_a_second_run_has_nothing_to_do(
    srgan, folder: Path, tmp_path: Path
) -> None:
    (folder / "deep" / "damaged.png").unlink()
    first = srgan("batch", "in", "out", *BICUBIC)
    assert (first.returncode, first.stderr) == (0, b"")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.[pj][np]g")}
    second = srgan("batch", "in", "out", *BICUBIC)
    assert second.returncode == 0
    assert second.stdout.startswith(b"3 skipped of 3 in ")
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.[pj][np]g")}
    assert srgan("batch", "in", "out", *BICUBIC, "--overwrite").stdout.startswith(b"3 done of 3 in ")


def test_options_choose_the_files_the_format_and_the_size(srgan, folder: Path, tmp_path: Path) -> None:
    options = ["--include", "*.png", "--no-recursive", "--format", "webp", "--workers", "1"]
    done = srgan("batch", "in", "out", "--model", "bicubic", "--long-side", "32", *options)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "out") == {"a.webp"}
    with Image.open(tmp_path / "out" / "a.webp") as picture:
        assert picture.size == (32, 24)


def test_the_batch_section_of_the_settings_is_heard(srgan, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[batch]\nrecursive = false\n")
    assert srgan("batch", "in", "out", *BICUBIC, "--config", "settings.toml").returncode == 0
    assert tree(tmp_path / "out") == {"a.png"}


def test_the_report_is_json_on_request_and_in_a_file(srgan, folder: Path, tmp_path: Path) -> None:
    done = srgan("batch", "in", "out", *BICUBIC, "--json", "--report", "report.json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document == json.loads((tmp_path / "report.json").read_text())
    assert document["counts"] == {"done": 3, "skipped": 0, "failed": 1, "stopped": 0}
    states = {outcome["source"]: outcome["state"] for outcome in document["outcomes"]}
    assert states["deep/damaged.png"] == "failed"


def test_verbose_names_every_file(srgan, folder: Path) -> None:
    err = srgan("batch", "in", "out", *BICUBIC, "-v").stderr.decode()
    assert "srgan: info: a.png: done, 16x12, " in err
    assert "srgan: info: deep/deeper/c.png: done, 20x12, " in err


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["nothing", "out"], 2, "nothing: no such folder"),
        (["in/a.png", "out"], 2, "in/a.png: not a folder"),
        (["in", "in"], 2, "same folder"),
        (["in", "in/a.png"], 7, "in/a.png"),
        (["in", "out", "--report", "no/such/report.json"], 7, "no/such"),
        (["in", "out", "--workers", "0"], 2, "batch.workers"),
        (["in", "out", "--model", "none-such"], 4, "none-such"),
    ],
)
def test_what_cannot_be_begun_is_one_line(arguments: list[str], code: int, named: str, srgan, folder: Path) -> None:
    before = tree(folder)
    done = srgan("batch", "--model", "bicubic", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.startswith(b"srgan: error: ")
    assert named in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert tree(folder) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_whole_files_and_the_same_command_goes_on(
    number: int, code: int, command: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for index in range(12):
        Image.effect_noise((500, 500), 60).save(tmp_path / "in" / f"{index:02}.png")
    arguments = [command, "batch", "in", "out", "--model", "bicubic", "--scale", "4", "--report", "report.json"]
    process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while time.monotonic() < until and not list((tmp_path / "out").glob("*.png")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert b"Traceback" not in err
    made = tree(tmp_path / "out")
    assert 0 < len(made) < 12
    assert all(name.endswith(".png") and not name.startswith(".") for name in made), "no unfinished file is left"
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["interrupted"] is True
    assert report["counts"]["done"] == len(made)
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, timeout=120, check=True)
    assert f"{12 - len(made)} done, {len(made)} skipped of 12".encode() in done.stdout
