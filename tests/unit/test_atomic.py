"""Files that appear whole or not at all: what stands in the way, and what a killed writer leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from srgan import atomic as module
from srgan.atomic import check_space, check_target, remove_leftovers, replacing, write_whole
from srgan.errors import CannotWrite
from srgan.imaging import Picture, read_picture, write_picture

POSIX = pytest.mark.skipif(os.name == "nt", reason="locks and signals of POSIX")

WRITER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from srgan.atomic import check_target, replacing
    with replacing(Path(sys.argv[1]), overwrite=False) as (stream, temporary):
        stream.write(b"half")
        stream.flush()
        sys.stdout.write(str(temporary) + "\\n")
        sys.stdout.flush()
        sys.stdin.readline()
        stream.write(b" whole")
""")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    """Another process that is half through with a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "out.png")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    temporary = Path(process.stdout.readline().decode().strip())
    yield SimpleNamespace(process=process, temporary=temporary)
    process.kill()
    process.communicate()


@POSIX
def test_the_file_of_a_living_process_is_left_alone(tmp_path: Path, writer: Any) -> None:
    assert remove_leftovers(tmp_path) == []
    assert writer.temporary.read_bytes() == b"half"
    writer.process.communicate(b"\n")
    assert writer.process.returncode == 0
    assert (tmp_path / "out.png").read_bytes() == b"half whole"
    assert names(tmp_path) == ["out.png"]


@POSIX
def test_the_file_of_a_killed_process_is_removed(tmp_path: Path, writer: Any) -> None:
    writer.process.send_signal(signal.SIGKILL)
    writer.process.wait()
    assert names(tmp_path) == [writer.temporary.name]
    assert remove_leftovers(tmp_path) == [writer.temporary]
    assert names(tmp_path) == []
    assert remove_leftovers(tmp_path) == []


def test_a_file_of_this_process_is_left_alone_to_the_end(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", overwrite=False) as (stream, _):
        stream.write(b"x")
        assert remove_leftovers(tmp_path) == []
    assert names(tmp_path) == ["a"]


@POSIX
def test_the_lock_is_held_until_the_file_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for overwrite, step in ((False, "link"), (True, "replace")):
        real = getattr(os, step)

        def clear_first(source: Any, target: Any, real: Any = real) -> None:
            assert remove_leftovers(tmp_path) == []
            real(source, target)

        monkeypatch.setattr(os, step, clear_first)
        with replacing(tmp_path / step, overwrite=overwrite) as (stream, _):
            stream.write(b"x")
        assert (tmp_path / step).read_bytes() == b"x"


@POSIX
def test_a_file_taken_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    flock, taken = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with replacing(tmp_path / "a", overwrite=False) as (stream, temporary):
        assert temporary != taken[0]
        stream.write(b"x")
    assert names(tmp_path) == ["a"]


@POSIX
def test_two_that_clear_up_and_many_that_write_lose_nothing(tmp_path: Path) -> None:
    done = threading.Event()
    removed: list[Path] = []

    def clear() -> None:
        while not done.is_set():
            removed.extend(remove_leftovers(tmp_path))

    def write(worker: int) -> None:
        for number in range(40):
            with replacing(tmp_path / f"{worker}-{number}", overwrite=number % 2 == 0) as (stream, _):
                stream.write(b"x" * 100)

    clearing = [threading.Thread(target=clear) for _ in range(2)]
    writing = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in clearing + writing:
        thread.start()
    for thread in writing:
        thread.join()
    done.set()
    for thread in clearing:
        thread.join()
    assert len(names(tmp_path)) == 160
    assert all(path.stat().st_size == 100 for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["a.part", ".srgan-0123456789abcdef.png", ".srgan-xyz.part", "x.srgan-0123456789abcdef.part"]
)
def test_files_of_other_names_are_nobodys_leftovers(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"mine")
    assert remove_leftovers(tmp_path) == []
    assert names(tmp_path) == [name]


@POSIX
def test_links_folders_and_pipes_of_such_a_name_stay(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (tmp_path / ".srgan-0000000000000000.part").symlink_to(precious)
    (tmp_path / ".srgan-0000000000000001.part").mkdir()
    os.mkfifo(tmp_path / ".srgan-0000000000000002.part")
    before = names(tmp_path)
    assert remove_leftovers(tmp_path) == []
    assert names(tmp_path) == before
    assert precious.read_bytes() == b"mine"


@POSIX
def test_a_file_system_without_locks_is_written_to_and_never_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with replacing(tmp_path / "a", overwrite=False) as (stream, temporary):
        stream.write(b"x")
        assert remove_leftovers(tmp_path) == []
        assert temporary.exists()
    assert names(tmp_path) == ["a"]


def test_without_the_module_of_locks_old_files_go_and_new_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fcntl", None)
    old, new = (tmp_path / f".srgan-{digit * 16}.part" for digit in "ab")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert remove_leftovers(tmp_path) == [old]
    assert names(tmp_path) == [new.name]
    with replacing(tmp_path / "a", overwrite=True) as (stream, _):
        stream.write(b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    assert remove_leftovers(tmp_path / "nowhere") == []
    (tmp_path / "file").write_bytes(b"")
    assert remove_leftovers(tmp_path / "file") == []


def test_the_disk_is_looked_at_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Any:
        asked.append(path)
        return SimpleNamespace(free=5_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    check_space(tmp_path / "a.png", 5_000)
    with pytest.raises(CannotWrite, match=r"a\.png: needs about 5,001 bytes, but only 5,000 are free on the disk"):
        check_space(tmp_path / "a.png", 5_001)
    assert asked == [tmp_path.resolve()] * 2


@POSIX
def test_the_disk_looked_at_is_that_of_what_a_link_points_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "far" / "real.png")
    asked: list[Path] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=10))
    check_space(tmp_path / "link.png", 1)
    assert asked == [(tmp_path / "far").resolve()]


@pytest.mark.parametrize("target", ["nowhere/a.png", "a\0b.png"])
def test_where_space_cannot_be_told_nothing_is_said(target: str, tmp_path: Path) -> None:
    check_space(f"{tmp_path}/{target}", 2**80)


def test_a_real_disk_has_no_exabytes(tmp_path: Path) -> None:
    check_space(tmp_path / "a.png", 1)
    with pytest.raises(CannotWrite, match="needs about"):
        check_space(tmp_path / "a.png", 2**62)


@POSIX
def test_paths_of_any_length_end_well_or_with_one_line(tmp_path: Path) -> None:
    pixels = Picture(pixels=np.zeros((2, 2, 1), np.float32))
    here = os.getcwd()
    deep = tmp_path
    try:
        os.chdir(tmp_path)
        while len(str(deep)) < 4060:  # too long for one call: made step by step
            name = "d" * min(200, 4070 - len(str(deep)))
            os.mkdir(name)
            os.chdir(name)
            deep /= name
        (deep / "x").write_bytes(b"")  # as a path it is still allowed
        with pytest.raises(CannotWrite, match="too long"):
            write_picture(pixels, deep / "a.png")  # but not with the longer name of what is unfinished
        assert os.listdir(".") == ["x"]
        with pytest.raises(CannotWrite, match="too long"):
            write_picture(pixels, deep / ("e" * 100 + ".png"))
        assert write_picture(pixels, deep.parent / "a.png").exists()
    finally:
        os.chdir(here)


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_that_write_one_file_each_leaves_it_whole(overwrite: bool, tmp_path: Path) -> None:
    pictures = [Picture(pixels=np.full((50, 50, 1), value, np.float32)) for value in (0, 1)]
    outcomes: list[bool] = []

    def write(picture: Picture) -> None:
        for _ in range(20):
            try:
                write_picture(picture, tmp_path / "a.png", overwrite=overwrite)
                outcomes.append(True)
            except CannotWrite:
                outcomes.append(False)

    threads = [threading.Thread(target=write, args=(picture,)) for picture in pictures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcomes) == (40 if overwrite else 1)
    assert names(tmp_path) == ["a.png"]
    assert read_picture(tmp_path / "a.png").pixels.min() == read_picture(tmp_path / "a.png").pixels.max()


def test_the_input_is_no_target_by_any_name(tmp_path: Path) -> None:
    source, other = tmp_path / "in.png", tmp_path / "other.png"
    for path in (source, other):
        path.write_bytes(b"x")
    os.link(source, tmp_path / "hard.png")
    for name in ("in.png", "hard.png"):
        with pytest.raises(CannotWrite, match="is also the input"):
            check_target(tmp_path / name, overwrite=True, source=source)

    check_target(other, overwrite=True, source=source)
    check_target(tmp_path / "new.png", source=tmp_path / "none.png")


@POSIX
def test_the_next_writer_in_the_folder_removes_what_a_killed_one_left(tmp_path: Path, writer: Any) -> None:
    writer.process.send_signal(signal.SIGKILL)
    writer.process.wait()

    write_whole(tmp_path / "b", "whole")

    assert names(tmp_path) == ["b"]


def test_a_folder_that_gets_many_files_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []

    def look(folder: Path) -> list[Path]:
        looked.append(folder)
        return []

    monkeypatch.setattr(module, "remove_leftovers", look)
    for name in "abc":
        write_whole(tmp_path / name, "")

    assert looked == [tmp_path.resolve()]


def test_a_small_file_is_written_whole_in_place_of_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before, and longer")

    write_whole(target, "h\u00e9\udcff\r\n")

    assert target.read_bytes() == b"h\xc3\xa9\\udcff\r\n"
    assert names(tmp_path) == ["a.txt"]


def test_a_small_file_is_not_replaced_unless_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")

    with pytest.raises(CannotWrite, match="exists already"):
        write_whole(tmp_path / "a", b"after", overwrite=False)

    assert (tmp_path / "a").read_bytes() == b"before"
    assert names(tmp_path) == ["a"]


def test_a_small_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match=r"nowhere.*No such file"):
        write_whole(tmp_path / "nowhere" / "a", "text")


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("new", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)

    module.put_folder(tmp_path / "new", tmp_path / "there", tmp_path / "old")

    assert (tmp_path / "there" / "f").read_text() == "new"
    assert (tmp_path / "old" / "f").read_text() == "there"


def test_a_folder_that_cannot_take_the_place_of_another_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()

    with pytest.raises(FileNotFoundError):
        module.put_folder(tmp_path / "missing", tmp_path / "there", tmp_path / "old")

    assert names(tmp_path) == ["there"]
