"""Folders, lists and pairs: which pictures belong to a dataset, and which two belong together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import InvalidDataset  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.picture_settings import DataSection  # noqa: E402
from srgan.training.pictures import Pair, find_pairs, find_pictures, probe_pair, read_pair, read_rgb  # noqa: E402

Store = Callable[..., TileStore]
Pictures = Callable[..., Path]


@pytest.fixture
def open_store() -> Iterator[Store]:
    """``open_store(folders, low_folders, **fields of the section)``: a filled store, closed after the test."""
    opened = []

    def make(folders: list[Path], low_folders: list[Path] | None = None, *, step: int = 0, **changes: Any) -> TileStore:
        fields = {"folders": folders, "low_folders": low_folders or [], "patch": 8, "batch": 16, "tile": 32, **changes}
        store = TileStore(DataSection(**fields), scale=4, seed=1, device=torch.device("cpu"))
        opened.append(store)
        store.fill(step)
        return store

    yield make
    for store in opened:
        store.close()


def shrunk(folder: Path, target: Path, name: str = "{stem}.png") -> Path:
    """A counterpart for each picture of ``folder``: every fourth pixel, so that it tells exactly where it was."""
    for path in sorted(folder.rglob("*.png")):
        place = target / path.relative_to(folder).parent / name.format(stem=path.stem)
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(path))[::4, ::4]).save(place)
    return target


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), "utf-8")
    return path


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


# ---------------------------------------------------------------------------------------------------------- lists


def test_a_list_names_pictures_relative_to_itself_in_its_order(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "lists", tmp_path / "elsewhere.png"
    folder.mkdir()
    listed = write(folder / "l.txt", "# the best", "", "b.png", "  deep/ä b.jpg  ", str(elsewhere), "b.png")

    assert find_pictures([listed]) == [folder / "b.png", folder / "deep/ä b.jpg", elsewhere, folder / "b.png"]


def test_folders_and_lists_can_stand_side_by_side(tmp_path: Path) -> None:
    folder = touch(tmp_path / "folder", "b.png", "a.png")

    assert find_pictures([folder, write(tmp_path / "l.txt", "folder/b.png")]) == [
        folder / "a.png",
        folder / "b.png",
        folder / "b.png",
    ]


def test_a_list_of_another_system_is_read(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("\ufeffa.png\r\nb.png\r\n".encode())

    assert [path.name for path in find_pictures([tmp_path / "l.txt"])] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "there are no pictures in this list"),
        (b"# nothing\n\n", "there are no pictures in this list"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "neither a folder nor a list"),
        (None, "no such folder of pictures, and no list"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    path = tmp_path / "l.txt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidDataset, match=complaint) as caught:
        find_pictures([path])
    assert str(caught.value).startswith(str(path))


def test_a_list_is_trained_on_and_what_is_not_there_is_named_once(
    open_store: Store, make_pictures: Pictures, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    folder = make_pictures((64, 64), (64, 32))
    listed = write(tmp_path / "l.txt", f"{folder.name}/001.png", "lost.png", "lost.png")

    with caplog.at_level(logging.WARNING, "srgan"):
        store = open_store([listed])

    assert (store.pictures, store.tiles) == (1, 2)
    assert caplog.text.count("lost.png") == 1


# ---------------------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ("a.png", "a.png"),
        ("deep/er/a.png", "deep/er/a.png"),
        ("a.png", "a.jpg"),
        ("0801.png", "0801x4.png"),
        ("0801.png", "0801_x4.png"),
        ("deep/a.b.png", "deep/a.b_x4.jpg"),
        ("deep/a.b.png", "deep/a.bx4.webp"),
    ],
)
def test_a_counterpart_is_called_like_its_picture(tmp_path: Path, high: str, low: str) -> None:
    folder, low_folder = touch(tmp_path / "high", high), touch(tmp_path / "low", low, "other/a.png", "zx4.png")

    assert find_pairs([folder], [low_folder], 4) == [Pair(folder / high, low_folder / low)]


def test_the_nearest_name_wins(tmp_path: Path) -> None:
    names = ("a.jpg", "a.png", "ax4.png")
    folder, low_folder = touch(tmp_path / "high", "a.png", "a.webp", "ax4.png"), touch(tmp_path / "low", *names)

    found = [pair.low and pair.low.name for pair in find_pairs([folder], [low_folder], 4)]

    assert found == ["a.png", "a.jpg", "ax4.png"]


@pytest.mark.parametrize("low", ["b.png", "deep/a.png", "ax2.png", "a4.png"])
def test_a_counterpart_that_is_not_there_is_looked_for_under_the_same_name(tmp_path: Path, low: str) -> None:
    folder, low_folder = touch(tmp_path / "high", "a.png"), touch(tmp_path / "low", low)

    assert find_pairs([folder], [low_folder], 4) == [Pair(folder / "a.png", low_folder / "a.png")]


def test_two_lists_go_together_line_by_line(tmp_path: Path) -> None:
    high = write(tmp_path / "high.txt", "a.png", "# the second", "b.png")
    low = write(tmp_path / "low.txt", "1.png", "2.png")

    assert find_pairs([high], [low], 4) == [
        Pair(tmp_path / "a.png", tmp_path / "1.png"),
        Pair(tmp_path / "b.png", tmp_path / "2.png"),
    ]


def test_places_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    folder = touch(tmp_path / "folder", "a.png")
    one, two = write(tmp_path / "one.txt", "a.png"), write(tmp_path / "two.txt", "a.png", "b.png")

    with pytest.raises(InvalidDataset, match=r"two\.txt: names 2 pictures, but .*one\.txt, which it goes with, 1"):
        find_pairs([one], [two], 4)
    with pytest.raises(InvalidDataset, match="so both must be folders, or both lists"):
        find_pairs([folder], [one], 4)


@pytest.mark.parametrize("size", [(16, 17), (15, 16), (64, 64), (17, 16)])
def test_a_pair_must_fit_to_the_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    pair = Pair(tmp_path / "high.png", tmp_path / "low.png")
    Image.new("RGB", (64, 64)).save(pair.high)
    Image.new("RGB", size).save(tmp_path / "low.png")

    for check in (probe_pair, read_pair):
        with pytest.raises(InvalidDataset, match=rf"{size[0]}x{size[1]} pixels are not exactly 1/4 of the 64x64 of"):
            check(pair, 4)


def test_a_picture_alone_is_cut_where_a_pair_is_not(tmp_path: Path) -> None:
    Image.new("RGB", (66, 65)).save(tmp_path / "high.png")
    Image.new("RGB", (16, 16)).save(tmp_path / "low.png")

    assert probe_pair(Pair(tmp_path / "high.png"), 4) == (64, 64)
    assert [part.shape for part in read_pair(Pair(tmp_path / "high.png"), 4)] == [(64, 64, 3), (16, 16, 3)]
    with pytest.raises(InvalidDataset, match="16x16 pixels are not exactly 1/4 of the 66x65"):
        probe_pair(Pair(tmp_path / "high.png", tmp_path / "low.png"), 4)


# ------------------------------------------------------------------------------------------------- pairs in a store


def aligned(low: torch.Tensor, high: torch.Tensor) -> int:
    """In how many patches the low-resolution pixels are the right ones of the high-resolution pixels, as turned."""
    corners = [high[:, :, y::4, x::4] for y in (0, 3) for x in (0, 3)]
    return int(torch.stack([(low == corner).all(dim=(1, 2, 3)) for corner in corners]).any(dim=0).sum())


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("name", ["{stem}.png", "{stem}x4.png", "{stem}_x4.png"])
def test_both_sides_are_cut_and_turned_alike(
    open_store: Store, make_pictures: Pictures, tmp_path: Path, name: str, augment: bool
) -> None:
    """Every fourth pixel of a picture is at the corner of its block: at which one says how the patch was turned."""
    folder = make_pictures((64, 96), (40, 44), (100, 72))
    store = open_store([folder], [shrunk(folder, tmp_path / "low", name)], augment=augment)

    for _ in range(3):
        low, high = store.batch()
        assert low.shape == (16, 3, 8, 8)
        assert torch.equal(low, high[:, :, ::4, ::4]) != augment
        assert aligned(low, high) == 16


def test_pairs_that_cannot_be_used_are_named_once_and_left_out(
    open_store: Store, make_pictures: Pictures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures(*[(64, 64)] * 5)
    low = shrunk(folder, tmp_path / "low")
    (low / "000.png").unlink()
    Image.new("RGB", (16, 15)).save(low / "001.png")
    (low / "002.png").write_bytes((low / "002.png").read_bytes()[:-300])
    (low / "003.png").write_text("no picture")

    with caplog.at_level(logging.WARNING, "srgan"):
        store = open_store([folder], [low])
        both = [store.batch() for _ in range(3)]

    messages = sorted(record.getMessage() for record in caplog.records)
    assert len(messages) == 4
    for said in ("000.png: ", "16x15 pixels are not exactly", "002.png", "003.png"):
        assert sum(said in message and message.startswith("left out of training: ") for message in messages) == 1
    assert len(store._filled) == 4
    assert all(aligned(*batch) == 16 for batch in both)


def test_a_folder_in_which_nothing_has_a_pair(open_store: Store, make_pictures: Pictures) -> None:
    folder, low = make_pictures((64, 64)), make_pictures((16, 16), (16, 16), name="low")
    (low / "000.png").unlink()

    with pytest.raises(InvalidDataset, match=r"no picture can be used; .* with a counterpart of exactly 1/4"):
        open_store([folder], [low])


def test_a_pair_that_is_stored_on_its_side_is_used(
    open_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Cameras store a picture as it comes and say how to turn it; what was made of it is upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)
    for name in ("high", "low"):
        (tmp_path / name).mkdir()
    Image.fromarray(pixels).save(tmp_path / "high" / "a.png", exif=exif)
    upright = read_rgb(tmp_path / "high" / "a.png")
    assert upright.shape == (80, 40, 3)
    Image.fromarray(np.ascontiguousarray(upright[::4, ::4])).save(tmp_path / "low" / "a.png")

    store = open_store([tmp_path / "high"], [tmp_path / "low"])

    assert aligned(*store.batch()) == 16
    assert caplog.text == ""


@pytest.mark.parametrize("step", [0, 7, 80])
def test_pairs_larger_than_memory_are_streamed_by_the_step_alone(
    open_store: Store, make_pictures: Pictures, tmp_path: Path, step: int
) -> None:
    folder = make_pictures(*[(64, 64 + 32 * (n % 3)) for n in range(9)])
    low = shrunk(folder, tmp_path / "low")
    settings: dict[str, Any] = {"memory_gib": 1e-9, "refresh": 5}
    walked, jumped = open_store([folder], [low], **settings), open_store([folder], [low], step=step, **settings)
    assert walked.streaming
    for passed in range(1, step + 1):
        walked.advance(passed)
        assert aligned(*walked.batch()) == 16
    jumped.generator.set_state(walked.generator.get_state())

    for further in range(step + 1, step + 12):
        walked.advance(further)
        jumped.advance(further)
        assert all(torch.equal(one, other) for one, other in zip(walked.batch(), jumped.batch(), strict=True))


def test_where_a_counterpart_was_looked_for_is_told(tmp_path: Path) -> None:
    """By the names of this scale only."""
    high, low = touch(tmp_path / "high", "a.png", "b.png"), touch(tmp_path / "low", "b.png", "a_x2.png", "ax3.png")
    Image.new("RGB", (8, 8)).save(high / "a.png")
    (pair, _) = find_pairs([high], [low], 4)
    with pytest.raises(InvalidDataset, match=r"a\.png: .*low has no counterpart of it: a, ax4, a_x4 in any format"):
        probe_pair(pair, 4)
