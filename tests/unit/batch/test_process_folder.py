"""Folders: the tree is kept, every file has its outcome, and nothing is half-written or quietly lost."""

from __future__ import annotations

import csv
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.batch import BatchReport, FileOutcome, process_folder
from srgan.errors import Cancelled, CannotWrite, InvalidConfig
from srgan.imaging import Limits, probe_picture
from srgan.progress import Step
from srgan.testing import FaultySession, NearestSession
from srgan.upscaler import Upscaler


@pytest.fixture
def upscaler() -> Upscaler:
    return Upscaler(NearestSession(2))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of small pictures with these names."""

    def make(*names: str) -> Path:
        top = tmp_path / "in"
        top.mkdir(exist_ok=True)
        for i, name in enumerate(names):
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4 + i, 3), (i, 0, 0)).save(path, "PNG" if path.suffix == ".dat" else None)
        return top

    return make


def files(top: Path) -> list[str]:
    """All files below ``top`` but the journal."""
    found = (path.relative_to(top).as_posix() for path in top.rglob("*") if not path.is_dir())
    return sorted(name for name in found if ".srgan/journal.jsonl" not in name)


def size_of(path: Path) -> tuple[int, int]:
    header = probe_picture(path)
    return header.width, header.height


def states(report: BatchReport) -> dict[str, str]:
    return {outcome.source: outcome.state for outcome in report.outcomes}


def test_the_tree_is_kept_and_every_picture_enlarged(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", "deep/er/b.JPG", "deep/c.webp", "Größe 图.bmp")
    (source / "notes.txt").write_text("not a picture")

    report = process_folder(source, tmp_path / "out", upscaler)

    assert files(tmp_path / "out") == ["Größe 图.bmp", "a.png", "deep/c.webp", "deep/er/b.JPG"]
    assert size_of(tmp_path / "out/deep/er/b.JPG") == (10, 6)
    assert probe_picture(tmp_path / "out/deep/er/b.JPG").format == "JPEG"
    assert report.ok
    assert [outcome.source for outcome in report.outcomes] == ["Größe 图.bmp", "a.png", "deep/c.webp", "deep/er/b.JPG"]
    assert {(o.source, o.width, o.height) for o in report.outcomes} >= {("a.png", 8, 6), ("deep/er/b.JPG", 10, 6)}


def test_without_recursion_only_the_folder_itself(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    process_folder(folder("a.png", "deep/b.png"), tmp_path / "out", upscaler, recursive=False)

    assert files(tmp_path / "out") == ["a.png"]


def test_patterns_choose_by_name_or_path(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", "x.dat", "deep/b.jpg", "other/c.jpg", "other/d.jpg")

    process_folder(source, tmp_path / "out", upscaler, include=["*.dat", "deep/*", "c.*"])

    assert files(tmp_path / "out") == ["deep/b.jpg", "other/c.jpg", "x.png"]


def test_hidden_files_and_folders_are_left_alone(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    process_folder(folder("a.png", ".hidden.png", ".git/b.png"), tmp_path / "out", upscaler)

    assert files(tmp_path / "out") == ["a.png"]


def test_sizes_and_formats_are_passed_on(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", "b.jpeg", "c.gif")

    report = process_folder(source, tmp_path / "out", upscaler, format="jpg", quality=50, long_side=30)

    assert files(tmp_path / "out") == ["a.jpg", "b.jpeg", "c.jpg"]
    assert {outcome.width for outcome in report.outcomes} == {30}
    assert probe_picture(tmp_path / "out/a.jpg").format == "JPEG"


def test_what_cannot_be_written_in_its_own_format_becomes_png(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    process_folder(folder("a.gif", "b.dat"), tmp_path / "out", upscaler, include=["*"])

    assert files(tmp_path / "out") == ["a.png", "b.png"]


def test_what_exists_is_skipped_unless_it_shall_be_overwritten(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source, out = folder("a.png", "b.png"), tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_text("precious")

    assert states(process_folder(source, out, upscaler)) == {"a.png": "skipped", "b.png": "done"}
    assert (out / "a.png").read_text() == "precious"
    assert states(process_folder(source, out, upscaler)) == {"a.png": "skipped", "b.png": "skipped"}
    again = process_folder(source, out, upscaler, existing="overwrite")
    assert states(again) == {"a.png": "done", "b.png": "done"}
    assert states(process_folder(source, out, upscaler, existing="overwrite")) == {"a.png": "done", "b.png": "done"}
    assert size_of(out / "a.png") == (8, 6)


def test_one_bad_file_does_not_stop_the_others(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", "c.png", "z.png")
    (source / "b.png").write_bytes(b"not a picture at all")
    (source / "d.png").write_bytes((source / "a.png").read_bytes()[:40])
    (source / "e.png").write_bytes(b"")
    (source / "f.png").symlink_to("nowhere.png")

    report = process_folder(source, tmp_path / "out", upscaler)

    assert states(report) == {
        "a.png": "done",
        "b.png": "failed",
        "c.png": "done",
        "d.png": "failed",
        "e.png": "failed",
        "f.png": "failed",
        "z.png": "done",
    }
    assert not report.ok
    assert all((outcome.reason == "") == (outcome.state == "done") for outcome in report.outcomes)
    assert "is empty" in report.outcomes[4].reason
    assert files(tmp_path / "out") == ["a.png", "c.png", "z.png"]


def test_limits_and_format_limits_are_kept(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("b.png", "c.png")
    Image.new("L", (9000, 1)).save(source / "a.webp")
    Image.new("L", (100, 100)).save(source / "d.png")

    report = process_folder(source, tmp_path / "out", upscaler, limits=Limits(max_pixels=9000))

    assert states(report) == {"a.webp": "failed", "b.png": "done", "c.png": "done", "d.png": "failed"}
    assert "too large for WEBP" in report.outcomes[0].reason
    assert "the limit is 9,000" in report.outcomes[3].reason


def test_a_fault_of_ours_costs_one_file(folder: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Buggy(NearestSession):
        def run(self, batch: np.ndarray) -> np.ndarray:
            if batch.shape[3] == 5:
                raise RuntimeError("a bug")
            return super().run(batch)

    report = process_folder(folder("a.png", "b.png", "c.png"), tmp_path / "out", Upscaler(Buggy()))

    assert states(report) == {"a.png": "done", "b.png": "failed", "c.png": "done"}
    assert report.outcomes[1].reason == "unexpected RuntimeError: a bug"
    assert "Traceback" in caplog.text


def test_a_picture_that_comes_out_wrong_is_failed_and_not_written(folder: Any, tmp_path: Path) -> None:
    broken = Upscaler(FaultySession(NearestSession(), "nan", lambda batch: batch.shape[3] == 5))

    report = process_folder(folder("a.png", "b.png"), tmp_path / "out", broken)

    assert states(report) == {"a.png": "done", "b.png": "failed"}
    assert files(tmp_path / "out") == ["a.png"]


def test_two_inputs_for_one_output_are_found(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.gif", "a.jpg", "a.png", "deep/a.png")

    report = process_folder(source, tmp_path / "out", upscaler, format="png")

    assert states(report) == {"a.gif": "done", "a.jpg": "failed", "a.png": "failed", "deep/a.png": "done"}
    assert report.outcomes[1].reason.startswith("its output would replace that of a.gif; --existing rename")
    assert "{stem}_{input}" in report.outcomes[1].reason
    apart = process_folder(source, tmp_path / "apart", upscaler, format="png", name="{stem}_{input}")
    assert files(tmp_path / "apart") == ["a_gif.png", "a_jpg.png", "a_png.png", "deep/a_png.png"]
    assert apart.ok
    assert size_of(tmp_path / "out/a.png") == (8, 6)


def test_the_same_folder_is_refused_in_every_spelling(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png")
    (tmp_path / "link").symlink_to(source)

    for target in (source, source / ".." / "in", tmp_path / "link"):
        with pytest.raises(InvalidConfig, match="same folder"):
            process_folder(source, target, upscaler)


def test_an_output_folder_inside_the_input_is_not_an_input(folder: Any, upscaler: Upscaler) -> None:
    source = folder("a.png", "deep/b.png")
    for _ in range(2):
        report = process_folder(source, source / "deep/out", upscaler)

    assert states(report) == {"a.png": "skipped", "deep/b.png": "skipped"}
    assert files(source / "deep/out") == ["a.png", "deep/b.png"]


def test_an_input_folder_inside_the_output_loses_nothing(tmp_path: Path, folder: Any, upscaler: Upscaler) -> None:
    source = folder("a.png", "in/a.png")
    before = (source / "a.png").read_bytes()

    report = process_folder(source, tmp_path, upscaler, existing="overwrite")

    assert states(report) == {"a.png": "done", "in/a.png": "failed"}
    assert report.outcomes[1].reason == "its output would replace an input"
    assert (source / "a.png").read_bytes() == before


def test_links_that_lead_in_circles_are_not_followed(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", "deep/b.png")
    (source / "deep/loop").symlink_to(source)
    (source / "same.png").symlink_to(source / "a.png")

    process_folder(source, tmp_path / "out", upscaler)

    assert files(tmp_path / "out") == ["a.png", "deep/b.png", "same.png"]


@pytest.mark.parametrize("name", [None, "{stem}_{width}{suffix}"])
def test_what_is_not_a_file_is_not_waited_for(
    folder: Any, tmp_path: Path, upscaler: Upscaler, name: str | None
) -> None:
    """Not for the number of its frames either, nor for the size that a name asks for."""
    source = folder("a.png")
    os.mkfifo(source / "pipe.png")
    os.mkfifo(source / "pipe.gif")
    (source / "folder.png").mkdir()

    report = process_folder(source, tmp_path / "out", upscaler, name=name)

    assert states(report) == {"a.png": "done", "pipe.gif": "failed", "pipe.png": "failed"}


def test_a_folder_that_cannot_be_listed_is_reported(
    folder: Any, tmp_path: Path, upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder("a.png", "deep/b.png")
    scan = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = process_folder(source, tmp_path / "out", upscaler)

    assert states(report) == {"a.png": "done", "deep": "failed"}
    assert report.outcomes[1].reason == "Permission denied"


def test_a_file_in_the_way_of_a_folder_is_reported(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", "deep/b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/deep").write_text("in the way")

    report = process_folder(source, tmp_path / "out", upscaler)

    assert states(report) == {"a.png": "done", "deep/b.png": "failed"}
    assert "out/deep: File exists" in report.outcomes[1].reason


def test_folders_that_cannot_be_used_are_refused_at_once(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png")

    with pytest.raises(InvalidConfig, match="none: no such folder"):
        process_folder(tmp_path / "none", tmp_path / "out", upscaler)
    with pytest.raises(InvalidConfig, match=r"a\.png: not a folder"):
        process_folder(source / "a.png", tmp_path / "out", upscaler)
    with pytest.raises(CannotWrite, match=r"a\.png"):
        process_folder(source, source / "a.png", upscaler)
    with pytest.raises(CannotWrite, match="does not exist"):
        process_folder(source, tmp_path / "out", upscaler, reports=tmp_path / "none/report.json")
    with pytest.raises(InvalidConfig, match="workers"):
        process_folder(source, tmp_path / "out", upscaler, workers=0)
    with pytest.raises(InvalidConfig, match="Give only one"):
        process_folder(source, tmp_path / "out", upscaler, scale=2, width=3)
    with pytest.raises(InvalidConfig, match="format"):
        process_folder(source, tmp_path / "out", upscaler, format="xyz")


def test_an_empty_folder_is_no_error_but_says_so(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    report = process_folder(folder(), tmp_path / "out", upscaler)

    assert report.ok
    assert report.outcomes == ()
    assert report.summary().endswith("in: no pictures")


def test_the_report_tells_everything_in_json(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", "ö.png")
    (source / "b.png").write_bytes(b"bad")
    path = tmp_path / "report.json"
    path.write_text("an older report")

    report = process_folder(source, tmp_path / "out", upscaler, reports=path)

    told = json.loads(path.read_text("utf-8"))
    assert told["ok"] is False
    assert told["counts"] == {"done": 2, "skipped": 0, "failed": 1, "stopped": 0}
    assert told["model"] == "nearest"
    assert [entry["source"] for entry in told["outcomes"]] == ["a.png", "b.png", "ö.png"]
    assert told["outcomes"][0]["width"] == 8
    assert path.read_text("utf-8") == report.to_json()
    assert report.summary().startswith("2 done, 1 failed of 3 in ")
    assert files(tmp_path) == sorted(["report.json", *(f"in/{n}.png" for n in "abö"), "out/a.png", "out/ö.png"])


def test_the_report_is_a_table_for_csv_and_both_may_be_wanted(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", 'with "quotes", and\nlines.png')
    (source / "b.png").write_bytes(b"bad")

    paths = [tmp_path / "report.CSV", tmp_path / "report.json"]
    process_folder(source, tmp_path / "out", upscaler, reports=paths)

    with open(paths[0], encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    told = json.loads(paths[1].read_text("utf-8"))["outcomes"]
    assert list(rows[0]) == ["source", "target", "state", "reason", "seconds", "width", "height", "frames", "model"]
    assert rows == [{key: "" if value is None else str(value) for key, value in entry.items()} for entry in told]
    assert [row["state"] for row in rows] == ["done", "failed", "done"]


def test_a_name_that_is_not_unicode_can_be_reported(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png")
    try:
        os.rename(source / "a.png", os.fsencode(source) + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    path = tmp_path / "report.json"

    report = process_folder(source, tmp_path / "out", upscaler, reports=path)

    assert report.ok
    assert json.loads(path.read_bytes())["outcomes"][0]["source"] == "\udcff.png"


def test_progress_is_told_of_each_file_in_the_calling_thread(folder: Any, tmp_path: Path, upscaler: Upscaler) -> None:
    source = folder("a.png", "b.png", "c.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b.png").touch()
    told: list[str] = []
    steps: list[Step] = []

    def tell(outcome: FileOutcome) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append(outcome.source)

    process_folder(source, tmp_path / "out", upscaler, each=tell, report=steps.append)

    assert told[0] == "b.png"
    assert sorted(told) == ["a.png", "b.png", "c.png"]
    assert [(step.done, step.total, step.unit) for step in steps] == [(2, 3, "files"), (3, 3, "files")]
    assert {step.note for step in steps} == {"a.png", "c.png"}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Cancelled])
def test_a_run_that_is_stopped_leaves_no_half_file_and_reports(
    folder: Any, tmp_path: Path, stop: type[BaseException]
) -> None:
    source = folder(*(f"{i:02}.png" for i in range(20)))

    told: list[FileOutcome] = []

    def progress(outcome: FileOutcome) -> None:
        told.append(outcome)
        if len(told) == 3:
            raise stop

    path = tmp_path / "report.json"
    report = process_folder(
        source, tmp_path / "out", Upscaler(NearestSession()), workers=1, each=progress, reports=path
    )

    done = [outcome.target for outcome in report.outcomes if outcome.state == "done"]
    assert report.interrupted
    assert not report.ok
    assert len(report.outcomes) == 20
    assert 3 <= len(done) < 20
    assert report.count("stopped") == 20 - len(done)
    assert files(tmp_path / "out") == done
    assert json.loads(path.read_text())["interrupted"] is True
    assert "stopped of 20" in report.summary()


def test_a_picture_under_way_is_given_up_at_the_next_tile(folder: Any, tmp_path: Path) -> None:
    begun = threading.Event()

    class Slow(NearestSession):
        def run(self, batch: np.ndarray) -> np.ndarray:
            begun.set()
            time.sleep(0.05)
            return super().run(batch)

    def stop(outcome: FileOutcome) -> None:
        begun.wait(10)
        raise Cancelled

    source, session = folder(), Slow()
    Image.new("L", (64, 64)).save(source / "large.png")
    (source / "bad.png").write_bytes(b"bad")  # its outcome comes first, and stops the run

    report = process_folder(source, tmp_path / "out", Upscaler(session, tile=16), each=stop)

    assert states(report) == {"bad.png": "failed", "large.png": "stopped"}
    assert 1 <= len(session.shapes) < 16
    assert files(tmp_path / "out") == []


def test_a_mistake_in_progress_is_not_hidden_and_the_report_is_written(
    folder: Any, tmp_path: Path, upscaler: Upscaler
) -> None:
    def progress(outcome: FileOutcome) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        process_folder(
            folder("a.png", "b.png"), tmp_path / "out", upscaler, each=progress, reports=tmp_path / "report.json"
        )
    assert json.loads((tmp_path / "report.json").read_text())["interrupted"] is True


def test_reading_and_writing_go_on_while_the_network_works(folder: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from srgan.upscaler import files

    both = threading.Barrier(2, timeout=10)

    class Meeting(NearestSession):
        def run(self, batch: np.ndarray) -> np.ndarray:
            if batch.shape[3] == 4:
                both.wait()  # only passes when the next picture is read meanwhile
            return super().run(batch)

    read = files.open_input

    def reading(path: Path, **options: Any) -> Any:
        if path.name == "b.png":
            both.wait()
        return read(path, **options)

    monkeypatch.setattr(files, "open_input", reading)

    assert process_folder(folder("a.png", "b.png"), tmp_path / "out", Upscaler(Meeting()), workers=2).ok


@pytest.mark.parametrize(
    ("accounts", "said"),
    [
        ({"reports": "in/a.png"}, "in/a.png: is called like an input"),
        ({"reports": ["in/b.dat"], "include": ["*.dat"]}, "in/b.dat: is called like an input"),
        ({"reports": ["link.json"], "include": ["*.dat"]}, "link.json: is called like an input"),
        ({"contact_sheet": "out/a.PNG"}, "out/a.PNG: is called like an input"),
        ({"reports": ["r.html"], "contact_sheet": "in/../r.html"}, "r.html: is asked for twice"),
    ],
)
def test_no_account_replaces_a_picture_or_another(
    accounts: dict[str, Any],
    said: str,
    folder: Callable[..., Path],
    tmp_path: Path,
    upscaler: Upscaler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = folder("a.png", "b.dat")
    (tmp_path / "link.json").symlink_to(source / "b.dat")
    before = {path: path.read_bytes() for path in source.iterdir()}
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CannotWrite, match=said):
        process_folder(source, tmp_path / "out", upscaler, **accounts)
    assert {path: path.read_bytes() for path in source.iterdir()} == before


def test_a_report_may_lie_among_the_inputs_and_be_replaced(
    folder: Callable[..., Path], tmp_path: Path, upscaler: Upscaler
) -> None:
    source = folder("a.png")
    for options in ({}, {"include": ["*"], "exclude": ["*.json"]}):
        process_folder(source, tmp_path / "out", upscaler, reports=source / "report.json", **options)
        assert json.loads((source / "report.json").read_text())["ok"]
