"""What becomes of outputs that exist: by the three policies, with and without what the journal knows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from srgan.batch import BatchReport, process_folder
from srgan.errors import Cancelled, InvalidConfig
from srgan.journal import FOLDER, JOURNAL
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler

Run = Callable[..., BatchReport]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index, name in enumerate(["a.png", "b.png"]):
        Image.new("RGB", (4 + index, 3)).save(folder / name)
    return folder


@pytest.fixture
def run(source: Path, tmp_path: Path) -> Run:
    def running(upscaler: Upscaler | None = None, folder: Path = source, **options: Any) -> BatchReport:
        return process_folder(folder, tmp_path / "out", upscaler or Upscaler(NearestSession(2)), **options)

    return running


def told(report: BatchReport) -> dict[str, tuple[str, str]]:
    return {outcome.source: (outcome.state, outcome.reason) for outcome in report.outcomes}


def change(path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(path)


def outputs(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "out").glob("*.*") if path.name != FOLDER)


def test_skip_leaves_what_it_does_not_know(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_text("precious")

    assert told(run()) == {"a.png": ("skipped", "the output exists"), "b.png": ("done", "")}
    assert told(run()) == {"a.png": ("skipped", "the output exists"), "b.png": ("skipped", "done before")}
    assert (tmp_path / "out/a.png").read_text() == "precious"


def test_skip_makes_again_what_it_made_of_an_older_input(run: Run, source: Path, tmp_path: Path) -> None:
    run()
    change(source / "a.png")

    assert told(run()) == {"a.png": ("done", "made again: the input changed"), "b.png": ("skipped", "done before")}
    with Image.open(tmp_path / "out/a.png") as picture:
        assert picture.size == (18, 18)
    assert told(run())["a.png"] == ("skipped", "done before")


def test_an_input_that_was_only_touched_is_the_same(run: Run, source: Path) -> None:
    run()
    os.utime(source / "a.png", ns=(1, 1))

    assert told(run())["a.png"] == ("skipped", "done before")


def test_skip_makes_again_what_was_made_with_other_settings_or_by_another_model(run: Run) -> None:
    run()
    larger = told(run(scale=3))
    assert set(larger.values()) == {("done", "made again: the settings changed")}
    assert set(told(run(scale=3)).values()) == {("skipped", "done before")}

    class Other(NearestSession):
        def __init__(self) -> None:
            super().__init__(2)
            self.info = self.info.__class__(**{**vars(self.info), "model": "other"})

    assert set(told(run(Upscaler(Other()), scale=3)).values()) == {("done", "made again: the model changed")}


@pytest.mark.parametrize("changed", [{"alpha": "resample"}, {"tta": True}, {"fix_colour": True}])
def test_skip_makes_again_what_was_enlarged_in_another_way(run: Run, changed: dict[str, Any]) -> None:
    run()
    another = Upscaler(NearestSession(2), **changed)

    assert set(told(run(another)).values()) == {("done", "made again: the settings changed")}
    assert set(told(run(another)).values()) == {("skipped", "done before")}


def test_skip_leaves_what_somebody_changed_since(run: Run, source: Path, tmp_path: Path) -> None:
    run()
    change(tmp_path / "out/a.png")
    change(source / "a.png")
    before = (tmp_path / "out/a.png").read_bytes()

    assert told(run())["a.png"] == ("skipped", "the output was changed after it was made")
    assert (tmp_path / "out/a.png").read_bytes() == before


def test_an_output_that_is_gone_is_made_again(run: Run, tmp_path: Path) -> None:
    run()
    (tmp_path / "out/a.png").unlink()

    assert told(run()) == {
        "a.png": ("done", "made again: its output was gone"),
        "b.png": ("skipped", "done before"),
    }


def test_another_folder_with_the_same_names_does_not_replace_anything(run: Run, source: Path, tmp_path: Path) -> None:
    run()
    other = tmp_path / "other"
    shutil.copytree(source, other)
    status = (other / "b.png").stat()
    Image.new("RGB", (5, 3), "white").save(other / "b.png", compress_level=0)
    os.utime(other / "b.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    before = (tmp_path / "out/b.png").read_bytes()

    assert told(run(folder=other)) == {
        "a.png": ("skipped", "done before"),
        "b.png": ("skipped", "the output exists and was made from another file"),
    }
    assert (tmp_path / "out/b.png").read_bytes() == before


def test_a_moved_pair_of_folders_is_known_again(run: Run, source: Path, tmp_path: Path) -> None:
    run()
    shutil.copytree(source, tmp_path / "moved/in")
    shutil.copytree(tmp_path / "out", tmp_path / "moved/out")

    report = process_folder(tmp_path / "moved/in", tmp_path / "moved/out", Upscaler(NearestSession(2)))
    assert set(told(report).values()) == {("skipped", "done before")}


def test_without_its_journal_an_output_merely_exists(run: Run, tmp_path: Path) -> None:
    run()
    (tmp_path / "out" / FOLDER / JOURNAL).unlink()

    assert set(told(run()).values()) == {("skipped", "the output exists")}


def test_overwrite_makes_everything_again_but_goes_on_where_it_was_cut_off(run: Run) -> None:
    def cut(outcome: object) -> None:
        raise Cancelled

    run()
    report = run(existing="overwrite", workers=1, each=cut)
    assert report.interrupted
    done = [name for name, (state, _) in told(report).items() if state == "done"]

    again = told(run(existing="overwrite"))
    assert {name for name, (state, _) in again.items() if state == "skipped"} == set(done)
    assert {state for state, _ in told(run(existing="overwrite")).values()} == {"done"}


def test_rename_numbers_what_is_new_and_repeats_nothing(run: Run, source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_text("precious")
    (tmp_path / "out/a (2).png").write_text("precious too")

    report = run(existing="rename")
    assert [(outcome.target, outcome.state) for outcome in report.outcomes] == [
        ("a (3).png", "done"),
        ("b.png", "done"),
    ]
    again = run(existing="rename")
    assert [(outcome.target, outcome.state) for outcome in again.outcomes] == [
        ("a (3).png", "skipped"),
        ("b.png", "skipped"),
    ]
    change(source / "b.png")
    assert told(run(existing="rename"))["b.png"][0] == "done"
    assert outputs(tmp_path) == ["a (2).png", "a (3).png", "a.png", "b (2).png", "b.png"]
    assert (tmp_path / "out/a.png").read_text() == "precious"


def test_rename_keeps_inputs_of_one_name_apart(source: Path, run: Run, tmp_path: Path) -> None:
    for suffix in ("gif", "bmp"):
        Image.new("RGB", (7, 3)).save(source / f"a.{suffix}")

    report = run(existing="rename", format="png")
    assert [(outcome.source, outcome.target) for outcome in report.outcomes] == [
        ("a.bmp", "a.png"),
        ("a.gif", "a (2).png"),
        ("a.png", "a (3).png"),
        ("b.png", "b.png"),
    ]
    assert {state for state, _ in told(run(existing="rename", format="png")).values()} == {"skipped"}
    assert len(outputs(tmp_path)) == 4


def test_only_what_failed_is_tried_again(run: Run, source: Path) -> None:
    (source / "bad.png").write_bytes(b"bad")
    assert told(run())["bad.png"][0] == "failed"
    Image.new("RGB", (6, 3)).save(source / "new.png")
    change(source / "bad.png")

    assert told(run(retry_failed=True)) == {
        "a.png": ("skipped", "did not fail before"),
        "b.png": ("skipped", "did not fail before"),
        "bad.png": ("done", ""),
        "new.png": ("skipped", "did not fail before"),
    }
    assert told(run(retry_failed=True))["bad.png"] == ("skipped", "did not fail before")


def test_a_failure_before_the_work_is_tried_again_too(run: Run, source: Path) -> None:
    (source / "bad.png").write_bytes(b"bad")
    assert told(run(name="{stem}_{width}"))["bad.png"][0] == "failed"
    change(source / "bad.png")

    assert told(run(name="{stem}_{width}", retry_failed=True))["bad.png"] == ("done", "")


def test_a_policy_that_is_none_is_refused(run: Run) -> None:
    with pytest.raises(InvalidConfig, match="must be 'skip', 'overwrite' or 'rename'"):
        run(existing="replace")
