"""Patches: cut from the right places, turned alike on both sides, from pictures that may be many, small or broken."""

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
from srgan.training.data import TileStore, fitting_tile  # noqa: E402
from srgan.training.degradation.bicubic import bicubic_down  # noqa: E402
from srgan.training.picture_settings import DataSection  # noqa: E402
from srgan.training.pictures import find_pictures, read_rgb  # noqa: E402

Store = Callable[..., TileStore]
CPU = torch.device("cpu")
TILES = 41
"""In the pictures that are streamed."""


@pytest.fixture
def open_store(pictures: Path) -> Iterator[Store]:
    """``open_store(step=0, scale=4, **fields of the section)``: a store that is filled, and closed after the test."""
    opened = []

    def make(*, step: int | None = 0, scale: int = 4, seed: int = 1, **changes: Any) -> TileStore:
        section = DataSection(**{"folders": [pictures], "patch": 8, "batch": 4, "tile": 64, **changes})
        store = TileStore(section, scale=scale, seed=seed, device=CPU)
        opened.append(store)
        if step is not None:
            store.fill(step)
        return store

    yield make
    for store in opened:
        store.close()


def levels(batch: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A batch as N x H x W x 3, 0..255, and proof that nothing was lost on the way."""
    values = batch.permute(0, 2, 3, 1) * 255
    assert torch.allclose(values, values.round(), atol=1e-3)
    return values.round().to(torch.uint8).numpy()


def places(picture: np.ndarray[Any, Any], patch: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Where ``patch`` stands in ``picture``."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, patch.shape)[:, :, 0]
    return [(int(y), int(x)) for y, x in np.argwhere((windows == patch).all(axis=(2, 3, 4)))]


# -------------------------------------------------------------------------------------------------------- patches


@pytest.mark.parametrize("clean", [0.0, 0.4, 1.0])
def test_so_many_patches_are_spared_from_wear(open_store: Store, clean: float) -> None:
    """A spared one is the exact reduction, as it stands in the picture; any other is not."""
    made = open_store(batch=64, augment=False, degradation={"kind": "second-order", "clean": clean})
    exact = open_store(batch=64, augment=False)
    low, high = made.batch()
    plain, same = exact.batch()
    assert torch.equal(high, same)
    spared = (low == plain).flatten(1).all(1)
    assert spared.float().mean() == pytest.approx(clean, abs=0.2 if clean == 0.4 else 0.0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_stand_in_the_pictures_and_both_sides_at_the_same_place(
    open_store: Store, pictures: Path, scale: int
) -> None:
    store = open_store(scale=scale, augment=False, tile=48, batch=8)
    high_pictures = [read_rgb(path) for path in find_pictures([pictures])]
    low_pictures = [bicubic_down(torch.from_numpy(p), scale).numpy() for p in high_pictures]
    found = set()
    for low, high in zip(*(levels(side) for side in store.batch()), strict=True):
        assert low.shape == (8, 8, 3)
        assert high.shape == (8 * scale, 8 * scale, 3)
        ((number, y, x),) = [(n, y, x) for n, picture in enumerate(low_pictures) for y, x in places(picture, low)]
        assert (y * scale, x * scale) in places(high_pictures[number], high)
        found.add((number, y, x))
    assert len(found) == 8


def test_a_batch_is_float_in_channels_last_memory(open_store: Store) -> None:
    for side in open_store().batch():
        assert side.dtype == torch.float32
        assert side.is_contiguous(memory_format=torch.channels_last)
        assert side.min() >= 0
        assert side.max() <= 1


def test_both_sides_are_turned_alike_in_all_eight_ways(open_store: Store, make_pictures: Callable[..., Path]) -> None:
    """One picture of exactly one patch: all that can differ is how it is turned."""
    folder = make_pictures((32, 32))
    store = open_store(folders=[folder], batch=64)
    high = read_rgb(folder / "000.png")
    low = bicubic_down(torch.from_numpy(high), 4).numpy()
    ways = [lambda p, k=k, f=f: np.rot90(p[:, ::-1] if f else p, k) for k in range(4) for f in (False, True)]
    seen = []
    for low_patch, high_patch in zip(*(levels(side) for side in store.batch()), strict=True):
        way = [number for number, turn in enumerate(ways) if np.array_equal(turn(high), high_patch)]
        assert len(way) == 1
        assert np.array_equal(ways[way[0]](low), low_patch)
        seen += way
    assert set(seen) == set(range(8))


def test_every_place_of_a_picture_comes_up(open_store: Store, make_pictures: Callable[..., Path]) -> None:
    store = open_store(folders=[make_pictures((40, 36))], augment=False, batch=256)
    low = bicubic_down(torch.from_numpy(read_rgb(store._sources[0].pair.high)), 4).numpy()

    found = {place for patch in levels(store.batch()[0]) for place in places(low, patch)}

    assert found == {(y, x) for y in range(3) for x in range(2)}


def test_the_last_tiles_end_with_the_picture(open_store: Store, make_pictures: Callable[..., Path]) -> None:
    store = open_store(folders=[make_pictures((150, 100))], tile=64)

    (source,) = store._sources
    assert (source.height, source.width) == (148, 100)
    assert source.corners == tuple((y, x) for y in (0, 64, 84) for x in (0, 36))
    assert (store.pictures, store.tiles, store.streaming) == (1, 6, False)
    assert store.megapixels == pytest.approx(0.0148)


@pytest.mark.parametrize(
    "sizes", [[(64, 64), (68, 68), (128, 128)], [(64, 64), (60, 130), (40, 40)], [(68, 68), (64, 200)]]
)
def test_a_picture_comes_up_as_often_as_its_area_says(
    sizes: list[tuple[int, int]], open_store: Store, tmp_path: Path
) -> None:
    """Each picture is of one colour, which says where a patch is from."""
    folder = tmp_path / "areas"
    folder.mkdir()
    for number, (height, width) in enumerate(sizes):
        Image.new("RGB", (width, height), (80 * number, 0, 0)).save(folder / f"{number}.png")
    store = open_store(folders=[folder], tile=64, patch=8, batch=500)
    reds = torch.cat([store.batch()[1][:, 0, 0, 0] for _ in range(8)]).mul(255 / 80).round()
    areas = torch.tensor([float(height * width) for height, width in sizes])
    shares = torch.stack([(reds == number).float().mean() for number in range(len(sizes))])
    assert torch.allclose(shares, areas / areas.sum(), atol=0.03)


@pytest.mark.parametrize(
    ("sizes", "tile", "side"),
    [
        ([(480, 480)], 480, 480),
        ([(484, 484)], 480, 484),
        ([(512, 512)], 480, 512),
        ([(1024, 1024)], 480, 512),
        ([(485, 2000)], 480, 500),
        ([(960, 960)], 480, 480),
        ([(600, 600)], 480, 600),
        ([(640, 640)], 480, 480),
        ([(700, 900), (1200, 800)], 480, 480),
        ([(512, 512)] * 9 + [(2000, 3000)], 480, 512),
        ([(512, 512)] + [(2400, 3360)] * 3, 480, 480),
        ([(100, 100)], 480, 480),
        ([], 480, 480),
    ],
)
def test_tiles_are_larger_where_pictures_are_a_little_too_large(
    sizes: list[tuple[int, int]], tile: int, side: int
) -> None:
    assert fitting_tile(sizes, tile, 4) == side


def test_pictures_a_little_larger_than_a_tile_take_one_each(
    open_store: Store, make_pictures: Callable[..., Path]
) -> None:
    store = open_store(folders=[make_pictures((68, 68), (64, 72), (70, 66))], tile=64)
    assert store.tiles == 3
    assert store._hr.shape[1:3] == (72, 72)
    low, high = store.batch()
    assert (low.shape[-1], high.shape[-1]) == (8, 32)


def test_the_same_seed_gives_the_same_batches(open_store: Store) -> None:
    def drawn(seed: int) -> torch.Tensor:
        store = open_store(seed=seed)
        return torch.cat([store.batch()[1] for _ in range(3)])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_the_generators_state_is_all_that_a_store_remembers(open_store: Store) -> None:
    store, other = open_store(), open_store()
    store.batch()
    state = store.generator.get_state()
    expected = store.batch()

    other.generator.set_state(state)

    assert all(torch.equal(a, b) for a, b in zip(expected, other.batch(), strict=True))


# ----------------------------------------------------------------------------------------------------- flat patches


@pytest.fixture
def half_flat(tmp_path: Path) -> Path:
    """A picture whose left half is one colour."""
    folder = tmp_path / "flat"
    folder.mkdir()
    pixels = np.full((256, 512, 3), 90, np.uint8)
    pixels[:, 256:] = np.random.default_rng(0).integers(0, 256, (256, 256, 3))
    Image.fromarray(pixels).save(folder / "a.png")
    return folder


def flat_part(store: TileStore) -> float:
    high = torch.cat([store.batch()[1] for _ in range(8)])
    return float((high.std(dim=(1, 2, 3)) < 0.01).float().mean())


def test_flat_patches_are_mostly_passed_over(open_store: Store, half_flat: Path) -> None:
    settings: dict[str, Any] = {"folders": [half_flat], "tile": 256, "batch": 64}

    assert flat_part(open_store(**settings)) > 0.35
    assert flat_part(open_store(**settings, min_detail=8.0, flat_share=0.0)) < 0.02
    assert 0.02 < flat_part(open_store(**settings, min_detail=8.0, flat_share=0.2)) < 0.25


def test_a_dataset_of_flat_pictures_is_used_all_the_same(open_store: Store, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "flat.png")

    low, _ = open_store(folders=[tmp_path], min_detail=200.0, flat_share=0.0).batch()

    assert torch.allclose(low, torch.tensor(9 / 255))


# ------------------------------------------------------------------------------------------------- odd and bad files


def test_gray_alpha_16_bit_and_turned_pictures_are_read(
    open_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (40, 48), np.uint8)).save(tmp_path / "gray.png")
    Image.fromarray(random.integers(0, 256, (40, 48, 4), np.uint8)).save(tmp_path / "alpha.png")
    Image.fromarray(random.integers(0, 65536, (40, 48), np.uint16)).save(tmp_path / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random.integers(0, 256, (40, 80, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=exif)

    store = open_store(folders=[tmp_path], batch=32)

    assert store.pictures == 4
    assert {(s.height, s.width) for s in store._sources} == {(40, 48), (40, 80)}
    assert store.batch()[0].shape == (32, 3, 8, 8)
    assert len(store._filled) == store.tiles
    assert caplog.messages == [m for m in caplog.messages if "1 of 4 training pictures are transparent in parts" in m]


def test_bad_pictures_are_named_once_and_left_out(
    open_store: Store, make_pictures: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures((64, 64), (64, 64), (20, 64))
    (folder / "not.png").write_text("not a picture")
    (folder / "empty.jpg").write_bytes(b"")
    whole = (folder / "001.png").read_bytes()
    (folder / "001.png").write_bytes(whole[: len(whole) // 2])

    with caplog.at_level(logging.WARNING, "srgan"):
        store = open_store(folders=[folder], batch=8)
        for _ in range(5):
            store.batch()

    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 4
    for name in ("not.png", "empty.jpg", "001.png", "002.png: smaller than a patch of 32 pixels"):
        assert sum(name in message and message.startswith("left out of training: ") for message in messages) == 1
    assert len(store._filled) == 1
    low = bicubic_down(torch.from_numpy(read_rgb(folder / "000.png")), 4).numpy()
    store = open_store(folders=[folder], batch=8, augment=False)
    assert all(places(low, patch) for patch in levels(store.batch()[0]))


def test_a_picture_that_shrank_after_its_header_was_read_is_left_out(
    open_store: Store, make_pictures: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures((64, 64), (128, 96))
    store = open_store(step=None, folders=[folder])
    Image.new("RGB", (40, 40)).save(folder / "001.png")

    store.fill()

    assert "001.png: does not have the size that its header states" in caplog.text
    assert len(store._filled) == 1


@pytest.mark.parametrize("content", [None, "empty", "text", "small", "truncated"])
def test_a_dataset_of_which_nothing_can_be_used(open_store: Store, tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "bad"
    complaint = {None: "no such folder", "empty": "there are no pictures", "truncated": "none of the pictures could"}
    if content is not None:
        folder.mkdir()
    if content == "text":
        (folder / "a.png").write_text("x")
    if content == "small":
        Image.new("RGB", (31, 400)).save(folder / "a.png")
    if content == "truncated":
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(folder / "a.png")
        (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:2000])

    with pytest.raises(InvalidDataset, match=complaint.get(content, "no picture can be used.*at least 32 pixels")) as e:
        open_store(folders=[folder])

    assert str(e.value).startswith(str(folder))


def test_pictures_are_found_below_the_folders_in_order(tmp_path: Path) -> None:
    for name in ("b.PNG", "sub/a.jpg", "sub/deep/c.webp", "notes.txt", "d.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    found = find_pictures([tmp_path, tmp_path / "sub"])

    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "b.PNG",
        "sub/a.jpg",
        "sub/deep/c.webp",
        "sub/a.jpg",
        "sub/deep/c.webp",
    ]


def test_only_the_first_pictures_where_that_is_asked_for(open_store: Store) -> None:
    assert open_store(max_pictures=2).pictures == 2


# ------------------------------------------------------------------------------------------------------- streaming


@pytest.fixture
def many(make_pictures: Callable[..., Path]) -> Path:
    """Pictures of 1 to 8 tiles of 32; one, of 4 tiles, is broken after its header."""
    sizes = [(32, 32), (64, 96), (32, 64), (64, 64), (40, 100), (64, 96), (32, 32), (96, 64), (64, 64), (32, 96)]
    folder = make_pictures(*sizes, name="many")
    broken = folder / "003.png"
    broken.write_bytes(broken.read_bytes()[:-3000])
    return folder


def streamed(open_store: Store, many: Path, step: int = 0) -> TileStore:
    store = open_store(step=step, folders=[many], tile=32, memory_gib=1e-9, refresh=5)
    assert store.streaming
    assert store.tiles == TILES
    assert store._capacity == 16
    return store


def held(store: TileStore) -> tuple[torch.Tensor, ...]:
    """What the filled slots hold."""
    slots = store._filled
    return slots, store._extent[slots], store._hr[slots], store._lr[slots], store._detail[8][slots]


def test_a_dataset_larger_than_its_memory_is_streamed(open_store: Store, many: Path) -> None:
    store = streamed(open_store, many)
    seen = set()
    for step in range(1, 5 * TILES):
        store.advance(step)
        low, high = store.batch()
        assert torch.isfinite(low).all()
        assert high.shape == (4, 3, 32, 32)
        seen |= {tile.numpy().tobytes() for tile in store._hr[store._filled]}
    # Every tile of the sound pictures was held at some time, each of them whole.
    assert len(seen) == TILES - 4


@pytest.mark.parametrize("step", [0, 4, 5, 9, 10, 37, 80, 81, 400])
def test_what_a_streamed_store_holds_depends_on_the_step_alone(open_store: Store, many: Path, step: int) -> None:
    walked, jumped = streamed(open_store, many), streamed(open_store, many, step)
    for passed in range(1, step + 1):
        walked.advance(passed)

    for further in range(step + 1, step + 14):
        for one, other in zip(held(walked), held(jumped), strict=True):
            assert torch.equal(one, other)
        walked.advance(further)
        jumped.advance(further)


def test_the_oldest_sixteenth_gives_way(open_store: Store, many: Path) -> None:
    store = streamed(open_store, many)
    before = store._hr.clone()
    store.advance(4)
    assert torch.equal(store._hr, before)
    store.advance(5)
    assert [slot for slot in range(16) if not torch.equal(store._hr[slot], before[slot])] == [0]
    store.advance(10)
    changed = [slot for slot in range(16) if not torch.equal(store._hr[slot], before[slot])]
    assert changed in ([0, 1], [0])  # the tile in slot 1 may belong to the broken picture, and leaves it as it is


def test_a_broken_picture_is_named_once_however_often_it_comes_round(
    open_store: Store, many: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = streamed(open_store, many)
    for step in range(1, 5 * 100):
        store.advance(step)

    assert caplog.text.count("003.png") == 1


def test_the_sequence_never_has_two_readers(open_store: Store, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that is entered by a second thread raises ValueError; this one says how often it was entered."""
    entered = []
    tiles_from = TileStore._tiles_from

    class Watched:
        def __init__(self, inner: Iterator[Any]) -> None:
            self.inner, self.inside = inner, 0

        def __iter__(self) -> Watched:
            return self

        def __next__(self) -> Any:
            self.inside += 1
            entered.append(self.inside)
            item = next(self.inner)
            self.inside -= 1
            return item

    monkeypatch.setattr(TileStore, "_tiles_from", lambda self, index: Watched(tiles_from(self, index)))
    store = streamed(open_store, many)
    for step in range(1, 500, 7):
        store.advance(step)

    assert len(entered) > 100
    assert set(entered) == {1}


def test_closing_while_tiles_are_decoded_ahead(open_store: Store, many: Path) -> None:
    store = streamed(open_store, many)
    store.advance(5)
    store.close()
    store.close()

    assert store.batch()[0].shape == (4, 3, 8, 8)


def test_a_dataset_that_fits_is_not_streamed(open_store: Store, many: Path) -> None:
    store = open_store(folders=[many], tile=32)
    before = store._hr.clone()
    for step in range(1, 1000, 100):
        store.advance(step)

    assert not store.streaming
    assert torch.equal(store._hr, before)
    assert len(store._filled) == TILES - 4
