"""Training pictures: decoded once, kept as uint8 tiles on the device, cut into random patches there.

A dataset that is larger than the memory set aside for it is streamed: the store then holds a window of an endless, seeded
sequence of tiles, and every so many steps the oldest sixteenth of it gives way to the next. What the store holds at a step
depends on the seed and the step alone (as long as no picture turns unreadable on the way), which is what makes an
interrupted run continue exactly.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from srgan.errors import InvalidDataset, SrganError
from srgan.imaging import read_picture, to_uint8
from srgan.training.config import DataSection
from srgan.training.degrade import bicubic_down

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".ppm"})
DETAIL_CELL = 8
"""Detail is known on a grid of this many low-resolution pixels."""
CANDIDATES = 8
"""How often a flat patch is drawn again before it is taken."""

log = logging.getLogger("srgan")


@dataclass(frozen=True)
class _Source:
    """A picture of the dataset: where it is and the top-left corners of its tiles, in high-resolution pixels."""

    path: Path
    height: int
    width: int
    corners: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Tile:
    """One tile, N = 1: uint8 pixels in the corner of a full-sized tile, and the part of it that is filled."""

    hr: Tensor
    lr: Tensor
    extent: tuple[int, int]


def find_pictures(folders: Sequence[Path]) -> list[Path]:
    """All pictures below ``folders``, sorted. Raises `InvalidDataset` for a folder that is missing or has none."""
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise InvalidDataset(f"{folder}: no such folder of training pictures")
        inside = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not inside:
            raise InvalidDataset(f"{folder}: there are no pictures in this folder")
        found += inside
    return found


class TileStore:
    """Tiles of all pictures on one device, and random patches of them.

    ``scale`` is the enlargement that is trained, ``seed`` decides order and patches. `batch` draws from ``generator``,
    whose state belongs into a checkpoint. Raises `InvalidDataset` when no picture can be used; single bad files are
    logged once and left out.
    """

    def __init__(self, data: DataSection, *, scale: int, seed: int, device: torch.device) -> None:
        self._data, self._scale, self._seed, self._device = data, scale, seed, device
        self._side = data.tile // scale
        self.generator = torch.Generator().manual_seed(seed)
        paths = find_pictures(data.folders)[: data.max_pictures]
        self._decoders = ThreadPoolExecutor(max_workers=max(2, torch.get_num_threads()), thread_name_prefix="decode")
        self._ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode-ahead")
        self._sources = self._scan(paths)
        if not self._sources:
            raise InvalidDataset(
                f"{data.folders[0]}: no picture can be used; they must be at least {data.patch * scale} pixels in each direction"
            )
        total = sum(len(s.corners) for s in self._sources)
        per_tile = 3 * (data.tile**2 + self._side**2)
        self._capacity = min(total, max(16, int(data.memory_gib * 2**30 / per_tile)))
        self.streaming = self._capacity < total
        self._exchange = max(1, self._capacity // 16)
        self.pictures, self.tiles = len(self._sources), total
        self.megapixels = sum(s.height * s.width for s in self._sources) / 1e6
        self._hr = torch.zeros(self._capacity, data.tile, data.tile, 3, dtype=torch.uint8, device=device)
        self._lr = torch.zeros(self._capacity, self._side, self._side, 3, dtype=torch.uint8, device=device)
        self._extent = torch.zeros(self._capacity, 2, dtype=torch.long)
        cells = (self._side - data.patch) // DETAIL_CELL + 1
        self._detail = torch.zeros(self._capacity, cells, cells)
        self._filled = 0
        self._round = 0
        self._next: Future[list[_Tile]] | None = None
        self._sequence = self._tiles_from(0)
        self._fill()

    def close(self) -> None:
        """Stop decoding ahead."""
        self._ahead.shutdown(wait=False, cancel_futures=True)
        self._decoders.shutdown(wait=False, cancel_futures=True)

    def seek(self, step: int) -> None:
        """Make the store hold what it holds at ``step``, to go on from a checkpoint."""
        wanted = step // self._data.refresh if self.streaming else 0
        if wanted != self._round:
            self._round = wanted
            self._next = None
            self._sequence = self._tiles_from(wanted * self._exchange)
            self._fill()

    def advance(self, step: int) -> None:
        """Call before each step: exchanges tiles when streaming and their time has come."""
        if not self.streaming or step // self._data.refresh <= self._round:
            return
        fresh = self._next.result() if self._next else self._take(self._exchange)
        start = self._round * self._exchange
        for offset, tile in enumerate(fresh):
            self._put((start + offset) % self._capacity, tile)
        self._round += 1
        self._next = self._ahead.submit(self._take, self._exchange)

    def batch(self) -> tuple[Tensor, Tensor]:
        """A random batch (LR, HR): float32 in [0, 1], N x 3 x patch x patch and scale times that, in channels-last memory."""
        n, patch = self._data.batch, self._data.patch
        slot, row, column = self._draw(n)
        symmetry = (
            torch.randint(8, (n,), generator=self.generator) if self._data.augment else torch.zeros(n, dtype=torch.long)
        )
        place = torch.stack([slot, row, column, symmetry], dim=1).to(self._device)
        lr = _gather(self._lr, place, patch, 1)
        hr = _gather(self._hr, place, patch, self._scale)
        return lr, hr

    def _draw(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Slots, rows and columns of ``n`` patches, in low-resolution pixels; detailed ones preferred where that is asked for."""
        tries = CANDIDATES if self._data.min_detail > 0 else 1
        slot = torch.randint(self._filled, (n, tries), generator=self.generator)
        room = (self._extent[slot] - self._data.patch + 1).clamp(min=1)
        at = (torch.rand(n, tries, 2, generator=self.generator) * room).long()
        row, column = at.unbind(-1)
        if tries == 1:
            return slot[:, 0], row[:, 0], column[:, 0]
        keep = self._detail[slot, row // DETAIL_CELL, column // DETAIL_CELL] >= self._data.min_detail
        keep |= torch.rand(n, tries, generator=self.generator) < self._data.flat_share
        keep[:, -1] = True
        first = keep.int().argmax(dim=1, keepdim=True)
        return slot.gather(1, first)[:, 0], row.gather(1, first)[:, 0], column.gather(1, first)[:, 0]

    def _scan(self, paths: Sequence[Path]) -> list[_Source]:
        """Read the headers of all pictures. Unreadable and too small ones are logged and left out."""
        smallest = self._data.patch * self._scale
        sources = []
        for path, size in zip(paths, self._decoders.map(_picture_size, paths), strict=True):
            if isinstance(size, SrganError):
                log.warning("left out of training: %s", size)
                continue
            height, width = (side // self._scale * self._scale for side in size)
            if min(height, width) < smallest:
                log.warning("left out of training: %s: smaller than a patch of %d pixels", path, smallest)
                continue
            rows, columns = _starts(height, self._data.tile), _starts(width, self._data.tile)
            sources.append(_Source(path, height, width, tuple((y, x) for y in rows for x in columns)))
        return sources

    def _fill(self) -> None:
        """Put the next ``capacity`` tiles of the sequence into their slots."""
        start = self._round * self._exchange
        self._filled = 0
        for offset, tile in enumerate(self._take(self._capacity)):
            self._put((start + offset) % self._capacity if self.streaming else offset, tile)
            self._filled += 1
        if self._filled == 0:
            raise InvalidDataset(f"{self._data.folders[0]}: none of the pictures could be decoded")
        if self.streaming:
            self._next = self._ahead.submit(self._take, self._exchange)

    def _take(self, count: int) -> list[_Tile]:
        """Up to ``count`` next tiles of the sequence; fewer only where pictures failed and the sequence has an end."""
        taken = []
        for tile in self._sequence:
            taken.append(tile)
            if len(taken) == count:
                break
        return taken

    def _put(self, slot: int, tile: _Tile) -> None:
        self._hr[slot].copy_(tile.hr)
        self._lr[slot].copy_(tile.lr)
        height, width = tile.extent
        self._extent[slot] = torch.tensor([height, width])
        self._detail[slot] = _detail_map(tile.lr, self._data.patch)

    def _tiles_from(self, index: int) -> Iterator[_Tile]:
        """The tiles of the sequence from ``index`` on: endless when streaming, else each once.

        Pictures are decoded ahead, a few at a time, in worker threads.
        """
        ahead: list[Future[list[_Tile] | SrganError]] = []
        visits = self._visits(index)
        reported: set[str] = set()
        failed_in_a_row = 0
        while True:
            while len(ahead) < 4:
                visit = next(visits, None)
                if visit is None:
                    break
                source, skip = visit
                ahead.append(self._decoders.submit(self._decode, source, skip))
            if not ahead:
                return
            result = ahead.pop(0).result()
            if isinstance(result, SrganError):
                if str(result) not in reported:
                    log.warning("left out of training: %s", result)
                    reported.add(str(result))
                failed_in_a_row += 1
                if failed_in_a_row >= len(self._sources):
                    return
                continue
            failed_in_a_row = 0
            yield from result

    def _visits(self, index: int) -> Iterator[tuple[_Source, int]]:
        """Pictures in the order of the sequence that begins at tile ``index``, each with the number of tiles to skip."""
        total = sum(len(s.corners) for s in self._sources)
        epoch, skip = divmod(index, total)
        while True:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self._sources))
            for number in order:
                source = self._sources[number]
                if skip >= len(source.corners):
                    skip -= len(source.corners)
                    continue
                yield source, skip
                skip = 0
            if not self.streaming:
                return
            epoch += 1

    def _decode(self, source: _Source, skip: int) -> list[_Tile] | SrganError:
        """All tiles of one picture but the first ``skip``. The low-resolution picture is made of the whole, so its
        borders are right, and then cut at the same places."""
        try:
            pixels = to_uint8(read_picture(source.path).pixels)
        except SrganError as error:
            return error
        pixels = pixels[..., [0, 0, 0]] if pixels.shape[2] < 3 else pixels[..., :3]
        hr = torch.from_numpy(np.ascontiguousarray(pixels[: source.height, : source.width]))
        lr = bicubic_down(hr, self._scale)
        tile, side, scale = self._data.tile, self._side, self._scale
        tiles = []
        for y, x in source.corners[skip:]:
            cut = hr[y : y + tile, x : x + tile]
            low = lr[y // scale : y // scale + side, x // scale : x // scale + side]
            extent = (low.shape[0], low.shape[1])
            if extent != (side, side):
                cut = functional.pad(cut, (0, 0, 0, tile - cut.shape[1], 0, tile - cut.shape[0]))
                low = functional.pad(low, (0, 0, 0, side - low.shape[1], 0, side - low.shape[0]))
            tiles.append(_Tile(cut, low, extent))
        return tiles


def _picture_size(path: Path) -> tuple[int, int] | SrganError:
    """Height and width by the header alone, or why it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(0x0112, 1) >= 5:
                width, height = height, width
            return height, width
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        return InvalidDataset(f"{path}: {error}")


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin along one side: one after the other, the last one flush with the end."""
    if length <= tile:
        return [0]
    return sorted({*range(0, length - tile + 1, tile), length - tile})


def _detail_map(lr: Tensor, patch: int) -> Tensor:
    """Mean gradient of the green channel, in levels, of the patches that begin at each cell of the grid."""
    green = lr[..., 1].float()
    gradient = torch.zeros_like(green)
    gradient[1:] += (green[1:] - green[:-1]).abs()
    gradient[:, 1:] += (green[:, 1:] - green[:, :-1]).abs()
    return functional.avg_pool2d(gradient[None, None], patch, stride=DETAIL_CELL)[0, 0]


def _gather(store: Tensor, place: Tensor, patch: int, factor: int) -> Tensor:
    """Cut patches from tiles and turn them, in one indexed read.

    ``store`` is N x T x T x 3 uint8; ``place`` holds slot, row, column (low resolution) and one of the 8 symmetries of the
    square for each patch. The result is float32 in [0, 1], channels last.
    """
    size = patch * factor
    slot, row, column, symmetry = place.unbind(1)
    line = torch.arange(size, device=store.device)
    down = torch.where((symmetry & 1).bool()[:, None], line.flip(0), line)
    right = torch.where((symmetry & 2).bool()[:, None], line.flip(0), line)
    down = down + (row * factor)[:, None]
    right = right + (column * factor)[:, None]
    turned = (symmetry & 4).bool()[:, None, None]
    rows = torch.where(turned, down[:, None, :], down[:, :, None])
    columns = torch.where(turned, right[:, :, None], right[:, None, :])
    patches = store[slot[:, None, None], rows, columns]
    return patches.permute(0, 3, 1, 2).float().div_(255)
