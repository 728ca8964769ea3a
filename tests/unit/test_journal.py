"""The journal: what it knows after any death of the process, and who may hold it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srgan.errors import CannotWrite
from srgan.journal import FOLDER, JOURNAL, Journal, Made, Stamp, Work, stamp

WORK = Work("/pictures", "fast-x4 1.0.0 abc", "settings-1")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def file_of(out: Path) -> Path:
    return out / FOLDER / JOURNAL


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file_of(out).read_text().splitlines()]


def make(out: Path, name: str, content: bytes = b"enlarged") -> Made:
    """An output as it lies in its place, and the record of it."""
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_bytes(content)
    return Made(name, name, Stamp(5, 6, "input"), stamp(out / name), WORK)


def enter(out: Path, *names: str) -> None:
    """A whole run that made these."""
    with Journal(out) as journal:
        journal.begin(WORK, "skip")
        for name in names:
            journal.written(make(out, name))
            journal.done(name)
        journal.end()


def test_what_was_done_is_known_to_the_next_process(out: Path) -> None:
    enter(out, "a.png", "deep/Größe\n\udcff.png")

    with Journal(out) as journal:
        made = journal.made("deep/Größe\n\udcff.png")
        assert made is not None
        assert (made.source, made.input, made.work, made.run) == (made.target, Stamp(5, 6, "input"), WORK, 1)
        assert journal.made_from(WORK, "a.png") == journal.made("a.png")
        assert journal.made_from(replace(WORK, source="/elsewhere"), "a.png") is None
        assert journal.made("b.png") is None


def test_a_stamp_is_of_the_content_and_not_of_the_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    before = stamp(path)

    os.utime(path, ns=(1, 1))
    assert before.is_of(path), "copied elsewhere, it is the same"
    path.write_bytes(b"two")
    assert not before.is_of(path), "of the same size, it is another"
    path.write_bytes(b"three")
    assert not before.is_of(path)
    assert before == replace(stamp_of(b"one", tmp_path), changed=before.changed)


def stamp_of(content: bytes, folder: Path) -> Stamp:
    (folder / "other").write_bytes(content)
    return stamp(folder / "other")


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    status = path.stat()

    assert Stamp(3, status.st_mtime_ns, "a hash that no file has").is_of(path)


def test_death_between_renaming_and_done_is_put_right(out: Path) -> None:
    with Journal(out) as journal:
        journal.begin(WORK, "skip")
        journal.written(make(out, "a.png"))

    with Journal(out) as journal:
        assert journal.made("a.png") is not None
    assert lines(out)[-1] == {"is": "done", "target": "a.png", "late": True}
    with Journal(out) as journal:
        assert journal.made("a.png") is not None
    assert [line["is"] for line in lines(out)] == ["run", "written", "done"], "put right once"


@pytest.mark.parametrize("there", [None, b"something else"])
def test_death_before_renaming_leaves_nothing_done(out: Path, there: bytes | None) -> None:
    with Journal(out) as journal:
        journal.begin(WORK, "skip")
        journal.written(make(out, "a.png"))
    (out / "a.png").unlink()
    if there is not None:
        (out / "a.png").write_bytes(there)

    with Journal(out) as journal:
        assert journal.made("a.png") is None


def test_half_a_line_at_the_end_costs_that_line_only(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    enter(out, "a.png", "b.png")
    whole = file_of(out).read_bytes()
    for length in range(len(whole) - 200, len(whole)):
        file_of(out).write_bytes(whole[:length])
        with Journal(out) as journal:
            assert journal.made("a.png") is not None
            journal.begin(WORK, "skip")
            journal.fail("c.png", "c.png", "why")
        with Journal(out) as journal:
            assert journal.failed(WORK, "c.png") == "why", length
    assert caplog.text == ""


def test_lines_that_say_nothing_are_passed_over_with_a_warning(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    enter(out, "a.png")
    nonsense = [b"{", b"[]", b'"text"', b"{}", b'{"is":"done","target":"never"}', b'{"is":"written"}', b"\xff\xfe", b""]
    file_of(out).write_bytes(file_of(out).read_bytes() + b"\n".join(nonsense) + b"\n" + b"[" * 100_000 + b"\n")

    with Journal(out) as journal:
        assert journal.made("a.png") is not None
    assert "unreadable lines" in caplog.text


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "a/../../secret", "a\0b"])
def test_a_journal_from_a_stranger_leads_to_no_file_elsewhere(out: Path, name: str) -> None:
    (out.parent / "secret").write_bytes(b"x")
    enter(out, "a.png")
    written = {**lines(out)[1], "target": name}
    with open(file_of(out), "a") as stream:
        stream.write(json.dumps(written) + "\n" + json.dumps({"is": "done", "target": name}) + "\n")

    with Journal(out) as journal:
        assert journal.made(name) is None


def test_failures_are_known_until_they_are_mended(out: Path) -> None:
    with Journal(out) as journal:
        journal.begin(WORK, "skip")
        journal.fail("a.png", "a.png", "damaged")
        journal.fail("b.png", "b.png", "damaged")
    with Journal(out) as journal:
        journal.begin(WORK, "skip")
        assert journal.failed(WORK, "a.png") == "damaged"
        journal.written(make(out, "a.png"))
        journal.done("a.png")
    with Journal(out) as journal:
        assert journal.failed(WORK, "a.png") is None
        assert journal.failed(WORK, "b.png") == "damaged"
        assert journal.failed(replace(WORK, source="/elsewhere"), "b.png") is None


def test_an_announcement_that_failed_is_not_put_right(out: Path) -> None:
    with Journal(out) as journal:
        journal.begin(WORK, "skip")
        journal.written(make(out, "a.png"))
        journal.fail("a.png", "a.png", "changed by somebody else")

    with Journal(out) as journal:
        assert journal.made("a.png") is None


@pytest.mark.parametrize(
    ("second", "existing", "ended", "goes_on"),
    [
        (WORK, "overwrite", False, True),
        (WORK, "overwrite", True, False),
        (WORK, "skip", False, False),
        (replace(WORK, settings="settings-2"), "overwrite", False, False),
        (replace(WORK, model="fast-x4 1.0.1 def"), "overwrite", False, False),
    ],
)
def test_a_run_goes_on_with_one_of_its_kind_that_was_cut_off(
    out: Path, second: Work, existing: str, ended: bool, goes_on: bool
) -> None:
    with Journal(out) as journal:
        journal.begin(WORK, "overwrite")
        journal.written(make(out, "a.png"))
        journal.done("a.png")
        if ended:
            journal.end()
    for _ in range(3):
        with Journal(out) as journal:
            journal.begin(second, existing)
            made = journal.made("a.png")
            assert made is not None
            assert journal.in_this_run(made) is goes_on


def test_unfinished_files_of_a_dead_run_are_removed_and_nothing_else(out: Path) -> None:
    enter(out)
    (out / FOLDER / ".srgan-0123.part").write_bytes(b"half")
    (out / FOLDER / "mine.txt").write_text("keep")

    with Journal(out):
        assert sorted(os.listdir(out / FOLDER)) == [JOURNAL, "mine.txt"]


def test_a_second_process_is_refused_while_the_first_lives_and_not_after_its_death(out: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom srgan.journal import Journal, Work\n"
        "journal = Journal(Path(sys.argv[1]))\njournal.begin(Work('/p', 'm', 's'), 'skip')\n"
        "print('held', flush=True)\ntime.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(out)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        before = file_of(out).read_bytes()
        with pytest.raises(CannotWrite, match=rf"another srgan \(process {other.pid}\) is using this folder"):
            Journal(out)
        assert file_of(out).read_bytes() == before
    finally:
        other.kill()
        other.communicate()
    with Journal(out):
        pass


def test_within_one_process_too_it_is_held_once(out: Path) -> None:
    with Journal(out), pytest.raises(CannotWrite, match="another srgan"):
        Journal(out)
    Journal(out).__exit__(None, None, None)


def test_a_line_that_finds_no_room_leaves_no_half_of_itself(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Journal(out) as journal:
        journal.begin(WORK, "skip")
        before = file_of(out).read_bytes()
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
        with pytest.raises(CannotWrite, match="No space left"):
            journal.fail("a.png", "a.png", "why")
        monkeypatch.setattr(os, "write", write)
        assert file_of(out).read_bytes() == before
        journal.end()
    assert [line["is"] for line in lines(out)] == ["run", "end"]


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(CannotWrite, match=FOLDER):
        Journal(tmp_path)
    (tmp_path / FOLDER).unlink()
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / JOURNAL).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotWrite, match=JOURNAL):
        Journal(tmp_path)
    assert not (tmp_path / "elsewhere").exists(), "a link does not lead the journal away"


def test_a_folder_that_is_gone_at_the_end_is_no_fault_of_the_run(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Journal(out) as journal:
        journal.begin(WORK, "skip")
        shutil.rmtree(out)

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(journal._file)  # closed all the same
    assert "No such file" in caplog.text
