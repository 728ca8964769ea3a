"""`srgan batch-process` as people and scripts run it."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import time
from collections import Counter
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
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


def test_a_run_that_is_killed_goes_on_with_nothing_lost_halved_or_made_twice(command: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    names = {f"{'deep/' if index % 2 else ''}{index:02}.png" for index in range(60)}
    for index, name in enumerate(sorted(names)):
        Image.effect_noise((60 + index, 50), 60).save(tmp_path / "in" / name)
    arguments = [command, "batch", "in", "out", "--model", "bicubic", "--scale", "4", "--report", "report.json"]
    chance = random.Random(7)
    for _ in range(3):
        count = len(tree(tmp_path / "out")) if (tmp_path / "out").exists() else 0
        process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until = time.monotonic() + 60
        while len(list((tmp_path / "out").rglob("*.png"))) <= count and process.poll() is None:
            assert time.monotonic() < until
        time.sleep(chance.uniform(0, 0.15))
        process.kill()
        process.communicate()
        for path in (tmp_path / "out").rglob("*.png"):
            with Image.open(path) as picture:
                picture.load()
    before = len(list((tmp_path / "out").rglob("*.png")))
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert 3 <= before < 60
    assert tree(tmp_path / "out") == names
    assert not list((tmp_path / "out" / ".srgan").glob("*.part"))
    journal = (tmp_path / "out" / ".srgan" / "journal.jsonl").read_text().splitlines()
    made = Counter(line["target"] for line in map(json.loads, journal) if line["is"] == "done")
    assert made == Counter(names), "each is made once"
    counts = json.loads((tmp_path / "report.json").read_text())["counts"]
    assert counts == {"done": 60 - before, "skipped": before, "failed": 0, "stopped": 0}


def test_a_second_process_on_one_folder_is_refused(command: str, srgan, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    first = subprocess.Popen(
        [command, "batch", "in", "out", *BICUBIC, "--watch"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "out" / ".srgan" / "journal.jsonl").exists() and time.monotonic() < until:
            time.sleep(0.01)
        second = srgan("batch", "in", "out", *BICUBIC)
        assert second.returncode == 7
        assert f"another srgan (process {first.pid}) is using this folder".encode() in second.stderr
    finally:
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=60)
    assert (first.returncode, out) == (0, b"in: no pictures\n"), err


def test_a_watched_folder_is_worked_on_until_it_is_stopped_and_then_reported(command: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    options = ["--watch", "--settle", "0.1", "--report", "report.csv", "--report", "report.json"]
    process = subprocess.Popen(
        [command, "batch", "in", "out", *BICUBIC, *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for name in ("a.png", "b.png"):
        Image.effect_noise((9, 6), 60).save(tmp_path / "in" / name)
        until = time.monotonic() + 60
        while not (tmp_path / "out" / name).exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith(b"2 done of 2 in ")
    assert err.startswith(b"Watching in. Ctrl-C ends it.\n")
    with open(tmp_path / "report.csv", newline="") as stream:
        assert [row["state"] for row in csv.DictReader(stream)] == ["done", "done"]
    assert json.loads((tmp_path / "report.json").read_text())["interrupted"] is False


def test_names_policies_and_retries_come_from_options(srgan, folder: Path, tmp_path: Path) -> None:
    options = [*BICUBIC, "--name", "{stem}_x{scale}", "--exclude", "deeper"]
    assert srgan("batch", "in", "out", *options).returncode == 1
    assert tree(tmp_path / "out") == {"a_x2.png", "deep/b_x2.jpg"}
    assert srgan("batch", "in", "out", *options, "--existing", "rename").stdout.startswith(b"2 skipped, 1 failed")
    assert srgan("batch", "in", "out", *options, "--existing", "overwrite").stdout.startswith(b"2 done, 1 failed")
    Image.effect_noise((9, 6), 60).save(folder / "deep" / "damaged.png")
    assert srgan("batch", "in", "out", *options, "--retry-failed").stdout.startswith(b"1 done, 2 skipped of 3")
    sheet = srgan("batch", "in", "out", *options, "--contact-sheet", "sheet.html")
    assert sheet.stdout.startswith(b"3 skipped of 3")
    assert (tmp_path / "sheet.html").read_text().count("<figure>") == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--name", "{stem}/../../{stem}"], "does not lie in the output folder"),
        (["--name", "{nonsense}"], "{nonsense}"),
        (["--existing", "replace"], "batch.existing"),
        (["--overwrite", "--existing", "rename"], "cannot be combined"),
        (["--contact-sheet", "none/x.html"], "none"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_work(arguments: list[str], named: str, srgan, folder: Path) -> None:
    before = tree(folder.parent)
    done = srgan("batch", "in", "out", *BICUBIC, *arguments)
    assert done.returncode in (2, 7)
    assert named in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert tree(folder.parent) == before
