"""Training pictures: decoded once, kept as uint8 tiles on the device, cut into random patches there.

A dataset that is larger than the memory set aside for it is streamed: the store then holds a window of an endless,
seeded sequence of tiles, and every so many steps the oldest sixteenth of it gives way to the next. What the store holds
at a step depends on the pictures, the seed and the step alone, which is what makes an interrupted run continue exactly.
Batches are made ahead by a `Loader`, and how large they are follows from the step too.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from srgan.errors import InvalidDataset, SrganError
from srgan.progress import Stop
from srgan.training.config import TrainConfig
from srgan.training.degradation.mixed import wear
from srgan.training.loading import Loader
from srgan.training.picture_settings import DataSection
from srgan.training.pictures import Pair, find_pairs, probe_pair, read_pair

DETAIL_CELL = 8
"""Detail is known on a grid of this many low-resolution pixels."""
CANDIDATES = 8
"""How often a flat patch is drawn again before it is taken."""
DECODED_AHEAD = 4
"""Pictures in the hands of worker threads at a time."""
LARGER = 1.25
"""How many times `DataSection.tile` tiles may be where that saves memory."""
WORTHWHILE = 0.75
"""What is left of the memory then, at most."""
MANY = 0.1
"""Share of the pictures with hidden colours that is warned of."""
MOST_LOADERS = 4
"""Threads that make batches ahead where nobody says how many."""
SMALLEST_WINDOW = 16
"""Tiles that a streamed store holds at least, however little memory it was given."""

log = logging.getLogger("srgan")
Beside = Callable[[Pair, Tensor], Tensor]
"""Gives for a pair and its low-resolution picture another target: uint8, H x W x 3, of the size of the first."""


@dataclass(frozen=True)
class _Source:
    """A picture of the dataset: its size, cut to a multiple of the scale, and the top-left corners of its tiles."""

    pair: Pair
    height: int
    width: int
    corners: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Tile:
    """Pixels of one tile, uint8 H x W x 3, padded at the bottom and right; ``extent`` of ``lr`` is real.

    ``weight`` is its share of the pixels of its picture, which tiles may have in common.
    """

    hr: Tensor
    lr: Tensor
    extent: tuple[int, int]
    weight: float


@dataclass(frozen=True)
class _Drawn:
    """All that is random of this process's part of a batch. Nothing else decides it but what the store holds."""

    patch: int
    place: Tensor
    """N x 4: slot, row, column, symmetry."""
    seeds: tuple[int, ...] = ()
    """Of the degradation, if there is one."""
    spared: Tensor | None = None
    """N: which patches are not degraded; None where all are."""


class TileStore:
    """Tiles of all pictures on one device, and random patches of them.

    ``scale`` is the enlargement that is trained, ``seed`` decides order and patches. `batch` draws from ``generator``,
    whose state belongs into a checkpoint. A new store has read the headers only; `fill` decodes. Single pictures that
    cannot be used are logged once and left out; `InvalidDataset` is raised when none can. ``share`` is the number of
    this process and how many there are: all draw the same large batch, and each takes its own part of it. ``steps`` is
    the length that the fractions of `DataSection.schedule` refer to; without it there is no schedule. ``loaders`` is
    the number of threads that make batches ahead. With ``beside`` each patch has two targets, one behind the other in
    6 channels.
    """

    def __init__(
        self,
        data: DataSection,
        *,
        scale: int,
        seed: int,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
        steps: int | None = None,
        loaders: int = 0,
        beside: Beside | None = None,
    ) -> None:
        self._rank, self._processes = share
        self._data, self._scale, self._seed, self._device = data, scale, seed, device
        self._beside = beside
        self.generator = torch.Generator().manual_seed(seed)
        self._steps, self._size = steps, data.size_at(0, steps)
        self._sizes = sorted({stage.patch for stage in data.stages()})
        self._loader = Loader(self.generator, self._draw, self._make, threads=loaders)
        self._degrade = wear(data.degradation, scale)
        pairs = find_pairs(data.folders, data.low_folders, scale)[: data.max_pictures]
        self._reported: set[Path] = set()
        self._decoded: set[Path] = set()
        self._hiding: set[Path] = set()
        self._decoders = ThreadPoolExecutor(max_workers=max(2, torch.get_num_threads()), thread_name_prefix="decode")
        self._ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode-ahead")
        found = self._scan(pairs)
        self._tile = fitting_tile([size for _, size in found], data.tile, scale)
        self._side = self._tile // scale
        self._sources = [_Source(pair, *size, _corners(size, self._tile)) for pair, size in found]
        if not self._sources:
            self.close()
            needed = f"they must be at least {self._sizes[-1] * scale} pixels in each direction"
            needed += f", with a counterpart of exactly 1/{scale} of the size" if data.low_folders else ""
            raise InvalidDataset(f"{data.folders[0]}: no picture can be used; {needed}")
        self.pictures = len(self._sources)
        self.tiles = sum(len(s.corners) for s in self._sources)
        self.megapixels = sum(s.height * s.width for s in self._sources) / 1e6
        deep = 3 if beside is None else 6
        per_tile = deep * self._tile**2 + 3 * self._side**2
        self._capacity = min(self.tiles, max(SMALLEST_WINDOW, int(data.memory_gib * 2**30 / per_tile)))
        self._exchange = max(1, self._capacity // 16)
        self.streaming = self._capacity < self.tiles
        slots, side, tile = self._capacity, self._side, self._tile
        self._hr = torch.zeros(slots, tile, tile, deep, dtype=torch.uint8, device=device)
        self._lr = torch.zeros(slots, side, side, 3, dtype=torch.uint8, device=device)
        self._extent = torch.zeros(slots, 2, dtype=torch.long)
        cells = {patch: (side - patch) // DETAIL_CELL + 1 for patch in self._sizes}
        self._detail = {patch: torch.zeros(slots, count, count) for patch, count in cells.items()}
        self._weight = torch.zeros(slots, dtype=torch.float64)
        self._filled = torch.zeros(0, dtype=torch.long)
        self._ends = torch.zeros(0, dtype=torch.float64)
        self._round = 0
        self._sequence: Iterator[_Tile | None] = iter(())
        self._next: Future[list[_Tile | None]] | None = None

    def fill(self, step: int = 0, stop: Stop | None = None) -> None:
        """Decode what the store holds at ``step``. Call it once, before the first batch. ``stop`` ends it early."""
        self._size = self._data.size_at(step + 1, self._steps)
        self._round = step // self._data.refresh if self.streaming else 0
        first = self._round * self._exchange
        self._sequence = self._tiles_from(first)
        self._put(first, islice(self._asking(stop), self._capacity))
        self._tell_of_hidden_colours()
        if self.streaming:
            self._next = self._ahead.submit(self._take)

    def _tell_of_hidden_colours(self) -> None:
        if self._hiding:
            many = len(self._hiding) >= MANY * len(self._decoded)
            log.log(
                logging.WARNING if many else logging.INFO,
                "%d of %d training pictures are transparent in parts, such as %s: the colours hidden there are "
                "replaced by those around; to train on them in front of a background, put them on it before",
                len(self._hiding),
                len(self._decoded),
                min(self._hiding),
            )

    def _asking(self, stop: Stop | None) -> Iterator[_Tile | None]:
        for tile in self._sequence:
            if stop is not None:
                stop.check()
            yield tile

    def sources(self) -> list[tuple[Pair, tuple[int, int]]]:
        """The pictures that are used, with height and width, cut to multiples of the scale."""
        return [(source.pair, (source.height, source.width)) for source in self._sources]

    def close(self) -> None:
        """End all threads: what is being made or decoded is finished, and nothing is begun."""
        self._loader.close()
        self._ahead.shutdown(wait=False, cancel_futures=True)
        self._decoders.shutdown(cancel_futures=True)
        self._ahead.shutdown()

    @property
    def waited(self) -> float:
        """Seconds that steps have waited for batches which are made ahead."""
        return self._loader.waited

    def advance(self, step: int) -> None:
        """Call before each step: exchanges tiles when streaming and their time has come, and follows the schedule."""
        if self._size != (size := self._data.size_at(step, self._steps)):
            self._loader.discard()
            self._size = size
        while self._next and self._round < step // self._data.refresh:
            # The sequence has one reader at a time: this waits for it before the next is set to work.
            fresh = self._next.result()
            self._loader.discard()
            self._put(self._capacity + self._round * self._exchange, fresh)
            self._round += 1
            self._next = self._ahead.submit(self._take)

    def batch(self) -> tuple[Tensor, Tensor]:
        """A random batch (LR, HR): float32 in [0, 1], N x 3 x H x W in channels-last memory.

        N is the batch, H and W are the patch in LR, ``scale`` times that in HR: those of the section, or of its
        schedule. HR has 6 channels where there are two targets. Raises what the degradation raises.
        """
        return self._loader.take()

    def _draw(self, generator: torch.Generator) -> _Drawn:
        """Draw a batch for all processes; what is kept is this one's part."""
        patch, own = self._size
        n = own * self._processes
        mine = slice(self._rank * own, (self._rank + 1) * own)
        slot, row, column = self._places(n, patch, generator)
        symmetry = torch.zeros(n, dtype=torch.long)
        if self._data.augment:
            symmetry = torch.randint(8, (n,), generator=generator)
        place = torch.stack([slot, row, column, symmetry], dim=1)[mine]
        if not self._degrade:
            return _Drawn(patch, place)
        seeds = tuple(torch.randint(2**62, (n,), generator=generator)[mine].tolist())
        clean = self._data.degradation.clean
        spared = (torch.rand(n, generator=generator) < clean)[mine] if clean else None
        return _Drawn(patch, place, seeds, spared)

    def _make(self, drawn: _Drawn) -> tuple[Tensor, Tensor]:
        """The batch that was ``drawn``: patches cut out, and degraded but for those that are spared."""
        # A plain copy to a GPU would wait for everything that it still has to do.
        place = drawn.place.to(self._device, non_blocking=self._device.type == "cuda")
        hr = _gather(self._hr, place, drawn.patch, self._scale)
        if not self._degrade:
            return _gather(self._lr, place, drawn.patch, 1), hr
        if drawn.spared is None:
            hr = self._degrade.original(hr)
            return self._degrade(hr, drawn.seeds), hr
        low = _gather(self._lr, place, drawn.patch, 1)
        chosen = (~drawn.spared).nonzero()[:, 0]
        if len(chosen):
            worn = chosen.to(hr.device)
            original = self._degrade.original(hr[worn])
            low[worn] = self._degrade(original, [drawn.seeds[i] for i in chosen.tolist()])
            if self._data.degradation.sharpen:
                hr[worn] = original
        return low, hr

    def _places(self, n: int, patch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Slots, rows and columns of ``n`` patches, in low-resolution pixels; few flat ones where that is asked for.

        A picture comes up as often as its area says, into however many tiles it is cut.
        """
        tries = CANDIDATES if self._data.min_detail > 0 else 1
        drawn = torch.rand(n, tries, dtype=torch.float64, generator=generator) * self._ends[-1]
        slot = self._filled[torch.searchsorted(self._ends, drawn, right=True).clamp(max=len(self._filled) - 1)]
        room = self._extent[slot] - patch + 1
        at = (torch.rand(n, tries, 2, generator=generator) * room).long()
        row, column = at.unbind(-1)
        if tries == 1:
            return slot[:, 0], row[:, 0], column[:, 0]
        keep = self._detail[patch][slot, row // DETAIL_CELL, column // DETAIL_CELL] >= self._data.min_detail
        keep |= torch.rand(n, tries, generator=generator) < self._data.flat_share
        keep[:, -1] = True
        first = keep.int().argmax(dim=1, keepdim=True)
        return slot.gather(1, first)[:, 0], row.gather(1, first)[:, 0], column.gather(1, first)[:, 0]

    def _scan(self, pairs: Sequence[Pair]) -> list[tuple[Pair, tuple[int, int]]]:
        """The sizes of all pictures, by their headers. Those unreadable, too small or without a pair are left out."""
        smallest = self._sizes[-1] * self._scale
        sources = []
        for pair, size in zip(pairs, self._decoders.map(self._probe, pairs), strict=True):
            if isinstance(size, SrganError):
                self._leave_out(pair.high, str(size))
                continue
            height, width = size
            if min(height, width) < smallest:
                self._leave_out(pair.high, f"{pair.high}: smaller than a patch of {smallest} pixels")
                continue
            sources.append((pair, size))
        return sources

    def _probe(self, pair: Pair) -> tuple[int, int] | SrganError:
        try:
            return probe_pair(pair, self._scale)
        except SrganError as error:
            return error

    def _leave_out(self, path: Path, reason: str) -> None:
        if path not in self._reported:
            log.warning("left out of training: %s", reason)
            self._reported.add(path)

    def _take(self) -> list[_Tile | None]:
        """The tiles of the next exchange."""
        return list(islice(self._sequence, self._exchange))

    def _put(self, index: int, tiles: Iterable[_Tile | None]) -> None:
        """Store tiles of the sequence from its ``index`` on, each in the slot that is its own."""
        for number, tile in enumerate(tiles, index):
            slot = number % self._capacity
            self._extent[slot] = 0
            if tile is not None:
                self._hr[slot].copy_(tile.hr)
                self._lr[slot].copy_(tile.lr)
                self._extent[slot] = torch.tensor(tile.extent)
                self._weight[slot] = tile.weight
                for patch, detail in self._detail.items():
                    detail[slot] = _detail_map(tile.lr, patch)
        self._filled = self._extent[:, 0].nonzero()[:, 0]
        self._ends = self._weight[self._filled].cumsum(0)
        if not len(self._filled):
            raise InvalidDataset(f"{self._data.folders[0]}: none of the pictures could be decoded")

    def _tiles_from(self, index: int) -> Iterator[_Tile | None]:
        """The tiles of the sequence from ``index`` on: endless when streaming, else each once.

        Those of a picture that cannot be decoded are None, so that all others keep their places. Pictures are decoded
        ahead, a few at a time, in worker threads.
        """
        ahead: deque[tuple[_Source, int, Future[list[_Tile] | SrganError]]] = deque()
        visits = self._visits(index)
        while True:
            for source, skip in islice(visits, DECODED_AHEAD - len(ahead)):
                ahead.append((source, skip, self._decoders.submit(self._decode, source, skip)))
            if not ahead:
                return
            source, skip, decoded = ahead.popleft()
            tiles = decoded.result()
            if isinstance(tiles, SrganError):
                self._leave_out(source.pair.high, str(tiles))
                yield from [None] * (len(source.corners) - skip)
            else:
                yield from tiles

    def _visits(self, index: int) -> Iterator[tuple[_Source, int]]:
        """Pictures in the order of the sequence from tile ``index`` on, each with the number of its tiles to skip."""
        epoch, skip = divmod(index, self.tiles)
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
        """All tiles of one picture but the first ``skip``. A low-resolution picture that is made is made of the whole,
        so its borders are right, and then cut at the same places."""
        try:
            hr, lr = read_pair(source.pair, self._scale, self._hiding.add)
        except SrganError as error:
            return error
        if self._beside is not None:
            hr = torch.cat([hr, self._beside(source.pair, lr)], dim=2)
        self._decoded.add(source.pair.high)
        # A picture that was stored on its side: the header does not say, and to training it is all the same.
        if hr.shape[:2] != (source.height, source.width):
            hr, lr = hr.transpose(0, 1), lr.transpose(0, 1)
        if hr.shape[:2] != (source.height, source.width):
            return InvalidDataset(f"{source.pair.high}: does not have the size that its header states")
        tile, side, scale = self._tile, self._side, self._scale
        weight = source.height * source.width / len(source.corners)
        tiles = []
        for y, x in source.corners[skip:]:
            cut = hr[y : y + tile, x : x + tile]
            low = lr[y // scale : y // scale + side, x // scale : x // scale + side]
            extent = (low.shape[0], low.shape[1])
            if extent != (side, side):
                cut = functional.pad(cut, (0, 0, 0, tile - cut.shape[1], 0, tile - cut.shape[0]))
                low = functional.pad(low, (0, 0, 0, side - low.shape[1], 0, side - low.shape[0]))
            tiles.append(_Tile(cut, low, extent, weight))
        return tiles


def open_store(
    config: TrainConfig, device: torch.device, *, share: tuple[int, int] = (0, 1), beside: Beside | None = None
) -> TileStore:
    """The store for a training as ``config`` says, with its schedule and, as this process has threads, its loaders."""
    loaders = config.hardware.loaders
    if loaders is None:
        most = MOST_LOADERS if device.type == "cpu" else 1  # a GPU works for one after the other
        loaders = min(most, torch.get_num_threads() // 2) if config.data.degradation.kind != "bicubic" else 0
    return TileStore(
        config.data,
        scale=config.network.scale,
        seed=config.seed,
        device=device,
        share=share,
        steps=config.steps,
        loaders=loaders,
        beside=beside,
    )


def fitting_tile(sizes: Sequence[tuple[int, int]], tile: int, scale: int) -> int:
    """The side of tiles for pictures of these ``sizes``: ``tile``, or up to a quarter more where that saves much.

    Pictures a little larger than ``tile`` would take up to four times the memory, for tiles that are almost the same.
    A multiple of ``scale``, as ``tile`` is one.
    """
    if not sizes:
        return tile
    lengths = np.array(sizes)
    parts = np.unique(-(-lengths // np.maximum(1, lengths // tile)))
    choices = {int(-(-part // scale) * scale) for part in parts if tile < part <= LARGER * tile}
    memory = {side: int((-(-lengths // side)).prod(axis=1).sum()) * side**2 for side in (tile, *sorted(choices))}
    best = min(memory, key=lambda side: memory[side])
    return best if memory[best] <= WORTHWHILE * memory[tile] else tile


def _corners(size: tuple[int, int], tile: int) -> tuple[tuple[int, int], ...]:
    return tuple((y, x) for y in _starts(size[0], tile) for x in _starts(size[1], tile))


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

    ``store`` is N x T x T x C uint8; ``place`` holds slot, row, column (low resolution) and one of the 8 symmetries of
    the square for each patch. The result is float32 in [0, 1], channels last.
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
