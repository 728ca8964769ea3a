"""One picture at a time: what stands in the way of writing it, and that nothing is lost or left behind."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from srgan.batch import BatchReport, pictures, process_folder, run, worker
from srgan.errors import CannotWrite
from srgan.imaging import Limits, Picture
from srgan.journal import FOLDER, JOURNAL
from srgan.runtime import SessionInfo
from srgan.testing import NearestSession
from srgan.upscaler import Size, Upscaler


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(12):
        Image.new("RGB", (4 + index, 3)).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture
def process(source: Path, tmp_path: Path) -> Callable[..., BatchReport]:
    def processing(**options: Any) -> BatchReport:
        return process_folder(source, tmp_path / "out", Upscaler(NearestSession(2)), **options)

    return processing


def files(top: Path) -> list[str]:
    return sorted(path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file())


def events(tmp_path: Path) -> list[tuple[str, str]]:
    lines = (tmp_path / "out" / FOLDER / JOURNAL).read_text().splitlines()
    told = [json.loads(line) for line in lines]
    return [(line["is"], line["target"]) for line in told if "target" in line]


def failing(monkeypatch: pytest.MonkeyPatch, wanted: Callable[[Path], bool], fault: Callable[[], Exception]) -> None:
    """Writing a picture fails for the sources that are ``wanted``."""
    enlarge = pictures.enlarge_file

    def enlarging(upscaler: Upscaler, source: Path, target: Path, **more: Any) -> Any:
        if wanted(source):
            raise fault()
        return enlarge(upscaler, source, target, **more)

    monkeypatch.setattr(pictures, "enlarge_file", enlarging)


def no_room() -> CannotWrite:
    error = CannotWrite("out: No space left on device")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize("watch", [False, True])
def test_a_full_disk_stops_the_run_instead_of_failing_every_file(
    process: Any, monkeypatch: pytest.MonkeyPatch, watch: bool
) -> None:
    failing(monkeypatch, lambda source: source.name >= "02", no_room)

    report = process(workers=1, watch=watch, settle=0)

    assert report.interrupted
    assert not report.ok
    assert "3 files in a row could not be written (No space left on device); make room" in report.reason
    assert [report.count(state) for state in ("done", "failed", "stopped")] == [2, 3, 7]
    assert {outcome.reason for outcome in report.outcomes if outcome.state == "stopped"} == {report.reason}
    monkeypatch.undo()
    report = process()
    assert [report.count(state) for state in ("done", "skipped")] == [10, 2]


def test_a_file_that_finds_room_begins_the_count_anew(process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, lambda source: source.name[:2] in ("00", "01", "03", "04", "06"), no_room)

    report = process(workers=1)
    assert [report.count(state) for state in ("done", "failed", "stopped")] == [7, 5, 0]
    assert (report.reason, report.interrupted) == ("", False)


def test_a_disk_that_is_full_is_seen_whatever_the_message_says(process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 4096

    failing(monkeypatch, lambda source: True, lambda: CannotWrite("out: the encoder gave up"))
    monkeypatch.setattr(worker.shutil, "disk_usage", lambda folder: Usage)

    report = process(workers=1)
    assert [report.count(state) for state in ("failed", "stopped")] == [3, 9]
    assert "(the disk is full)" in report.reason


def test_other_failures_to_write_stop_nothing(process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, lambda source: True, lambda: CannotWrite("out: is a folder"))

    report = process()
    assert report.count("failed") == 12
    assert not report.interrupted


def test_a_disk_that_is_full_for_the_journal_only_loses_nothing(process: Any, monkeypatch: Any, tmp_path: Path) -> None:
    write = os.write

    def without_room(file: int, data: bytes) -> int:
        if b'"done"' in data:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", without_room)
    assert process().count("done") == 12, "the pictures are in their places"
    monkeypatch.undo()
    assert process().count("skipped") == 12
    assert len(events(tmp_path)) == 24


def test_an_output_that_appears_meanwhile_is_left_as_it_is(
    process: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    enlarge = pictures.enlarge_file

    def enlarging(upscaler: Upscaler, source: Path, target: Path, **more: Any) -> Any:
        if source.name == "00.png":
            (tmp_path / "out/00.png").write_text("somebody else's")
        return enlarge(upscaler, source, target, **more)

    monkeypatch.setattr(pictures, "enlarge_file", enlarging)
    report = process()

    assert [report.count(state) for state in ("done", "failed")] == [11, 1]
    assert "was created by another program in the meantime" in report.outcomes[0].reason
    assert (tmp_path / "out/00.png").read_text() == "somebody else's"
    assert process().outcomes[0].reason == "the output exists"


def test_messages_name_the_output_and_no_file_that_nobody_knows(
    process: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def enlarging(upscaler: Upscaler, source: Path, target: Path, **more: Any) -> None:
        raise CannotWrite(f"{target}: Input/output error")

    monkeypatch.setattr(pictures, "enlarge_file", enlarging)

    assert process().outcomes[0].reason == f"{tmp_path / 'out/00.png'}: Input/output error"


def test_an_animation_keeps_its_frames(source: Path, process: Any, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "green", "blue")]
    frames[0].save(source / "moving.gif", save_all=True, append_images=frames[1:], duration=80)

    outcome = process(include=["moving.gif"]).outcomes[0]

    assert (outcome.state, outcome.target, outcome.frames) == ("done", "moving.gif", 3)
    with Image.open(tmp_path / "out/moving.gif") as picture:
        assert (picture.n_frames, picture.size) == (3, (12, 10))


def test_metadata_and_provenance_are_kept_or_left_out_and_count_as_settings(
    source: Path, process: Any, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.new("RGB", (6, 5)).save(source / "00.png", exif=exif)

    def written(**options: Any) -> tuple[bool, bool, str]:
        outcome = process(include=["00.png"], **options).outcomes[0]
        content = (tmp_path / "out/00.png").read_bytes()
        return b"a camera" in content, b"srgan:History" in content, outcome.reason

    assert written() == (True, True, "")
    assert written(provenance=False) == (True, False, "made again: the settings changed")
    assert written(metadata=False) == (False, True, "made again: the settings changed")
    assert written(metadata=False) == (False, True, "done before")


def test_an_opener_gives_each_picture_its_model(source: Path, tmp_path: Path) -> None:
    class Opener:
        looks = False
        options: ClassVar[dict[str, Any]] = {}
        info = SessionInfo(model="both", version="1", scale=2)

        def __call__(self, picture: Picture, size: Size) -> Upscaler:
            return Upscaler(NearestSession(2 if picture.width < 10 else 3))

    opener = Opener()
    report = process_folder(source, tmp_path / "out", opener, name="{stem}_{scale}_{model}")

    assert report.ok
    assert report.model == "both"
    assert [report.outcomes[i].target for i in (0, 11)] == ["00_2_both.png", "11_3_both.png"]
    assert [report.outcomes[i].width for i in (0, 11)] == [8, 45]
    assert {outcome.model for outcome in report.outcomes} == {"nearest"}
    opener.info = SessionInfo(model="both", version="2", scale=2)
    again = process_folder(source, tmp_path / "out", opener, name="{stem}_{scale}_{model}")
    assert {outcome.reason for outcome in again.outcomes} == {"made again: the model changed"}


def test_a_file_that_vanishes_before_its_turn_is_its_own_failure(process: Any, source: Path) -> None:
    def take_away(outcome: object) -> None:
        (source / "11.png").unlink(missing_ok=True)

    report = process(workers=1, each=take_away)

    assert [report.count(state) for state in ("done", "failed")] == [11, 1]
    assert report.outcomes[-1].reason.endswith("11.png: no such file")


def test_an_input_that_changes_while_it_is_worked_on_is_made_again(
    process: Any, source: Path, monkeypatch: Any
) -> None:
    enlarge = pictures.enlarge_file

    def enlarging(upscaler: Upscaler, source: Path, target: Path, **more: Any) -> Any:
        done = enlarge(upscaler, source, target, **more)
        if source.name == "00.png":
            Image.new("RGB", (30, 20)).save(source)
        return done

    monkeypatch.setattr(pictures, "enlarge_file", enlarging)
    process()
    monkeypatch.undo()

    assert process().outcomes[0].reason == "made again: the input changed"
    assert process().outcomes[0].reason == "done before"


def test_links_in_the_output_folder_are_kept(process: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "kept.png").write_text("old")
    (tmp_path / "kept.png").chmod(0o600)
    (tmp_path / "out/00.png").symlink_to(tmp_path / "kept.png")

    process(existing="overwrite")

    assert (tmp_path / "out/00.png").is_symlink()
    with Image.open(tmp_path / "kept.png") as picture:
        assert picture.size == (8, 6)
    assert (tmp_path / "kept.png").stat().st_mode & 0o777 == 0o600


def test_nothing_unfinished_is_left_whatever_fails(process: Any, monkeypatch: Any, tmp_path: Path) -> None:
    def fails(*arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", fails)
    monkeypatch.setattr(os, "rename", fails)
    report = process()

    assert {outcome.reason.rpartition(": ")[2] for outcome in report.outcomes} == {"Input/output error"}
    assert files(tmp_path / "out") == [f"{FOLDER}/{JOURNAL}"]
    assert [kind for kind, _ in events(tmp_path)].count("failed") == 12


def test_on_another_disk_a_picture_is_made_beside_its_place(process: Any, monkeypatch: Any, tmp_path: Path) -> None:
    parts = []
    enlarge = pictures.enlarge_file

    def enlarging(upscaler: Upscaler, source: Path, target: Path, **more: Any) -> Any:
        parts.append(target.parent)
        return enlarge(upscaler, source, target, **more)

    class Elsewhere:
        st_dev = -1

    stat = os.stat
    folder = str(tmp_path / "out" / FOLDER)
    monkeypatch.setattr(pictures, "enlarge_file", enlarging)
    monkeypatch.setattr(worker.os, "stat", lambda path, **o: Elsewhere() if str(path) == folder else stat(path, **o))
    assert process().ok
    assert set(parts) == {tmp_path / "out"}


def test_every_name_a_file_system_takes_goes_through(process: Any, source: Path, tmp_path: Path) -> None:
    names = [
        "new\nline.png",
        "tab\t.png",
        "-rf.png",
        "{stem}.png",
        "%s.png",
        "a\u202eb.png",
        "x" * 251 + ".png",
        "‮.png",
    ]
    for name in [*names, "caf\u00e9.png", "cafe\u0301.png", os.fsdecode(b"\xff\xfe.png")]:
        Image.new("RGB", (4, 3)).save(source / name)
    reports = [tmp_path / "r.json", tmp_path / "r.csv"]

    report = process(reports=reports, contact_sheet=tmp_path / "r.html")

    assert report.ok, [outcome for outcome in report.outcomes if outcome.state != "done"]
    assert process(reports=reports).count("skipped") == 23
    assert len(json.loads(reports[0].read_bytes())["outcomes"]) == 23


def test_names_that_differ_in_capitals_only_do_not_replace_each_other(
    process: Any, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_any_case", lambda journal: True)
    Image.new("RGB", (4, 3)).save(source / "A.png")
    Image.new("RGB", (4, 3)).save(source / "a.png")

    told = {outcome.source: outcome.reason for outcome in process().outcomes}
    assert told["A.png"] == ""
    assert told["a.png"].startswith("its output would replace that of A.png")
    told = {outcome.source: outcome.target for outcome in process(existing="rename").outcomes}
    assert (told["A.png"], told["a.png"]) == ("A.png", "a (2).png")


def test_a_name_that_is_too_long_is_that_files_own_failure(process: Any, source: Path) -> None:
    Image.new("RGB", (4, 3)).save(source / "x.png")

    report = process(name="{stem}" * 130, include=["00.png", "x.png"])

    assert [outcome.state for outcome in report.outcomes] == ["failed", "done"]
    assert "longer than 255 bytes" in report.outcomes[0].reason


def test_a_path_that_is_too_long_for_the_system_is_that_files_own_failure(process: Any, tmp_path: Path) -> None:
    report = process(name="/".join(["d" * 200] * 25) + "/{stem}", include=["00.png"])

    assert [outcome.state for outcome in report.outcomes] == ["failed"]
    assert "File name too long" in report.outcomes[0].reason


def test_damage_is_a_failure_or_a_reason(source: Path, process: Any) -> None:
    with Image.open(source / "09.png") as image:
        image.resize((64, 64)).convert("L").save(source / "bad.jpg")
    data = (source / "bad.jpg").read_bytes()
    (source / "bad.jpg").write_bytes(data[:-2] + b"left over \xff\xd9")

    refused = next(outcome for outcome in process().outcomes if outcome.source == "bad.jpg")
    assert (refused.state, "damaged or truncated JPEG" in refused.reason) == ("failed", True)

    kept = process(limits=Limits(damaged="keep"))
    states = {outcome.source: (outcome.state, outcome.reason) for outcome in kept.outcomes}
    assert states["bad.jpg"][0] == "done"
    assert states["bad.jpg"][1].endswith("damaged, and kept: data continues after the last block")
    assert states["09.png"][0] == "skipped"
