"""A teacher's outputs for whole pictures: computed once, whole, found again, and never taken damaged."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from torch import Tensor  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import Cancelled, CannotWrite  # noqa: E402
from srgan.progress import Step, Stop, silent  # noqa: E402
from srgan.testing import NearestSession  # noqa: E402
from srgan.training.config import DataSection  # noqa: E402
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.pictures import Pair, find_pairs, probe_pair, read_pair  # noqa: E402
from srgan.training.targets import Targets  # noqa: E402
from srgan.training.teacher import Teacher  # noqa: E402

Sources = list[tuple[Pair, tuple[int, int]]]
CPU = torch.device("cpu")


class Counting(Teacher):
    """Repeats pixels, and counts the whole pictures that it was asked for."""

    def __init__(self, sha256: str = "a" * 64) -> None:
        super().__init__(NearestSession(4))
        self.info, self.asked = replace(self.info, sha256=sha256), 0

    def picture(self, low: Tensor, stop: Stop | None = None) -> Tensor:
        self.asked += 1
        return super().picture(low, stop)


@pytest.fixture
def sources(pictures: Path) -> Sources:
    return [(pair, probe_pair(pair, 4)) for pair in find_pairs([pictures], (), 4)]


def repeated(pair: Pair) -> Tensor:
    return read_pair(pair, 4)[1].repeat_interleave(4, 0).repeat_interleave(4, 1)


def test_what_is_missing_is_computed_once(sources: Sources, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    teacher, heard = Counting(), list[Step]()
    with caplog.at_level(logging.WARNING, "srgan"):
        Targets(tmp_path / "store", teacher).fill(sources, report=heard.append, stop=Stop())
    assert teacher.asked == 3
    assert "nearest computes its output for 3 of 3 pictures, 0 megapixels, once: up to 0.00 GB in" in caplog.text
    assert [(step.done, step.total, step.unit) for step in heard] == [
        (number * 144 * 192, 3 * 144 * 192, "pixels") for number in range(4)
    ]
    caplog.clear()

    again, heard = Targets(tmp_path / "store", teacher), []
    again.fill(sources, report=heard.append, stop=Stop())
    for pair, _ in sources:
        assert torch.equal(again(pair, read_pair(pair, 4)[1]), repeated(pair))
    assert (teacher.asked, heard, caplog.text) == (3, [], "")


def test_files_are_known_by_content_and_teacher(sources: Sources, tmp_path: Path) -> None:
    """Another name is the same picture; another teacher, or a low-resolution picture that was given, is not."""
    teacher, store = Counting(), tmp_path / "store"
    targets = Targets(store, teacher)
    targets.fill(sources[:1], report=silent, stop=Stop())
    (tmp_path / "renamed.png").write_bytes(sources[0][0].high.read_bytes())
    size = sources[0][1]
    targets.fill([(Pair(tmp_path / "renamed.png"), size)], report=silent, stop=Stop())
    assert teacher.asked == 1

    other = Counting("b" * 64)
    Targets(store, other).fill(sources[:1], report=silent, stop=Stop())
    assert other.asked == 1
    Image.fromarray(read_pair(sources[0][0], 4)[1].numpy()).save(tmp_path / "low.png")
    targets.fill([(Pair(sources[0][0].high, tmp_path / "low.png"), size)], report=silent, stop=Stop())
    assert teacher.asked == 2
    names = sorted(path.relative_to(store).as_posix() for path in store.rglob("*.png"))
    told = [(name[:2], name.rpartition("-")[2]) for name in names]
    assert sorted(told) == [("aa", "given.png"), ("aa", "reduced.png"), ("bb", "reduced.png")]


@pytest.mark.parametrize("damage", ["cut short", "other bytes", "another size", "all gone"])
def test_a_damaged_file_is_computed_anew(
    damage: str, sources: Sources, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher = Counting()
    targets = Targets(tmp_path / "store", teacher)
    targets.fill(sources[:1], report=silent, stop=Stop())
    (path,) = (tmp_path / "store").rglob("*.png")
    whole = path.read_bytes()
    if damage == "cut short":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "other bytes":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes(8) + whole[middle + 8 :])
    elif damage == "another size":
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(path)
    else:
        shutil.rmtree(tmp_path / "store")
    pair = sources[0][0]
    with caplog.at_level(logging.WARNING, "srgan"):
        assert torch.equal(targets(pair, read_pair(pair, 4)[1]), repeated(pair))
    assert teacher.asked == 2
    assert "; computed anew" in caplog.text
    assert path.read_bytes() == whole


def test_a_stop_leaves_whole_files_and_the_next_run_goes_on(sources: Sources, tmp_path: Path) -> None:
    teacher, stop = Counting(), Stop()
    targets = Targets(tmp_path / "store", teacher)

    def after_two(step: Step) -> None:
        if step.done >= 2 * 144 * 192:
            stop.set()

    with pytest.raises(Cancelled):
        targets.fill(sources, report=after_two, stop=stop)
    assert len(list((tmp_path / "store").rglob("*"))) == 1 + 2
    targets.fill(sources, report=silent, stop=Stop())
    assert teacher.asked == 3


def test_several_processes_share_the_work(sources: Sources, tmp_path: Path) -> None:
    teachers = [Counting(), Counting()]
    for rank, teacher in enumerate(teachers):
        Targets(tmp_path, teacher).fill(sources, report=silent, stop=Stop(), share=(rank, 2))
    assert [teacher.asked for teacher in teachers] == [2, 1]


def test_a_picture_that_cannot_be_read_is_left_to_who_tells_of_it(sources: Sources, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(sources[0][0].high.read_bytes()[:200])
    teacher = Counting()
    Targets(tmp_path / "store", teacher).fill([(Pair(bad), (144, 192)), *sources], report=silent, stop=Stop())
    assert teacher.asked == 3


def test_a_disk_that_is_too_small_is_told_of_before_the_work(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.atomic.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    teacher = Counting()
    with pytest.raises(CannotWrite, match="needs about 248,832 bytes, but only 1,000 are free"):
        Targets(tmp_path / "store", teacher).fill(sources, report=silent, stop=Stop())
    assert teacher.asked == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="a file in the place of the folder, as on POSIX")
def test_a_place_that_is_no_folder(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    with pytest.raises(CannotWrite, match=r"teacher\.store: "):
        Targets(tmp_path / "store", Counting()).fill(sources, report=silent, stop=Stop())


# ---------------------------------------------------------------------------------------- beside the originals


@pytest.fixture
def open_both(pictures: Path, tmp_path: Path) -> Callable[..., TileStore]:
    def make(**changes: Any) -> TileStore:
        section = DataSection(**{"folders": [pictures], "patch": 8, "batch": 16, "tile": 64, **changes})
        targets = Targets(tmp_path / "store", Counting())
        store = TileStore(section, scale=4, seed=3, device=CPU, beside=targets)
        targets.fill(store.sources(), report=silent, stop=Stop())
        store.fill()
        return store

    return make


@pytest.mark.parametrize("memory", [4.0, 1e-6], ids=["in memory", "streamed"])
def test_each_patch_has_both_targets_at_its_place(open_both: Callable[..., TileStore], memory: float) -> None:
    """Turned and mirrored as it is; and the patches are those that come without a second target."""
    store = open_both(memory_gib=memory)
    assert store.streaming is (memory < 1)
    for step in range(1, 4):
        store.advance(step)
        low, high = store.batch()
        assert high.shape == (16, 6, 32, 32)
        assert torch.equal(high[:, 3:], low.repeat_interleave(4, 2).repeat_interleave(4, 3))
        assert not torch.equal(high[:, 3:], high[:, :3])
    store.close()


def test_the_patches_are_the_same_as_without(open_both: Callable[..., TileStore], pictures: Path) -> None:
    section = DataSection(folders=(pictures,), patch=8, batch=16, tile=64)
    plain = TileStore(section, scale=4, seed=3, device=CPU)
    plain.fill()
    both = open_both()
    for _ in range(2):
        (low, high), (same, more) = plain.batch(), both.batch()
        assert torch.equal(low, same)
        assert torch.equal(high, more[:, :3])
    plain.close()
    both.close()
