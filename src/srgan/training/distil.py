"""Recipe `distil`: a generator alone, trained on originals and on what a better model, its teacher, makes of the input.

The best output by squared error is the mean of all originals that fit an input. A teacher is nearer to that mean than
any single original, so its outputs are targets with less noise, and there are some where there is no original: for
pictures at full resolution.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from srgan.atomic import write_whole
from srgan.errors import InvalidConfig
from srgan.models import Bundle
from srgan.progress import Report, Stop, silent
from srgan.training.data import TileStore, open_store
from srgan.training.loop import Sitting
from srgan.training.losses import PixelLoss
from srgan.training.pretrain import Look, Start, train_alone
from srgan.training.recipes import DistilConfig
from srgan.training.runs import Run
from srgan.training.targets import Targets
from srgan.training.teacher import Teacher, open_teacher


def distil(config: DistilConfig, *, resume: bool | Path, report: Report, stop: Stop) -> Bundle:
    """Train ``config.network`` on originals and on outputs of ``config.teacher``, and return the finished bundle.

    Ending early, resuming and errors are those of `pretrain`. The teacher is needed to the end, and a run goes on with
    the one that it began with: another one under its name raises `InvalidConfig`. Outputs for whole pictures are
    computed before the first step, see `Targets.fill`.
    """

    @contextmanager
    def taught(start: Start) -> Iterator[tuple[TileStore, Callable[[Sitting], Look]]]:
        team, folder = start.team, config.teacher.store
        share = (team.rank, team.size)
        with closing(open_teacher(config.teacher, scale=start.scale, device=start.device)) as teacher:
            _check_same(start.begun, teacher)
            targets = None if folder is None else Targets(folder, teacher)
            store = open_store(config, start.device, share=share, beside=targets)
            if targets is not None:
                targets.fill(store.sources(), report=report if team.leads else silent, stop=stop, share=share)
                team.wait()

            def look_of(sitting: Sitting) -> Look:
                if team.leads and not sitting.run.teacher:
                    write_whole(sitting.run.folder / "teacher.json", json.dumps(teacher.known))
                return make_look(config, store, teacher, lambda: (sitting.state.step + 1) / config.steps)

            yield store, look_of

    return train_alone(config, taught, resume=resume, report=report, stop=stop)


def _check_same(run: Run | None, teacher: Teacher) -> None:
    """Raise `InvalidConfig` when ``run`` began with another teacher."""
    if run is not None and run.teacher and run.teacher["said"] != teacher.known["said"]:
        raise InvalidConfig(
            f"teacher.model: {run.folder} began with {run.teacher['said']}, and this is {teacher.known['said']}: give "
            "the path of the first, begin again with --fresh, or go on with this one by --resume CHECKPOINT"
        )


def make_look(config: DistilConfig, store: TileStore, teacher: Teacher, progress: Callable[[], float]) -> Look:
    """What `make_step` takes: a batch of ``store`` and its loss against originals and the outputs of ``teacher``.

    The first `DistilConfig.free` patches have no original: they are cut out of the high-resolution patches, at places
    by torch's own random numbers. Where ``store`` has outputs of the teacher, it computes only these. ``progress`` is
    the part of the training that is done.
    """
    section = config.teacher
    kind = config.loss.pixel if section.pixel == "same" else section.pixel
    against_originals = PixelLoss(config.loss)
    against_teacher = PixelLoss(config.loss.model_copy(update={"pixel": kind, "pixel_weight": section.weight}))

    def look(module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        low, high = store.batch()
        now = progress()
        original, known = high[:, :3], high[:, 3:]
        free = config.free(len(low)) if now <= section.until else 0
        if free:
            cut = cut_free(original[:free], low.shape[-1])
            low = torch.cat([cut, low[free:]]).contiguous(memory_format=torch.channels_last)
        output = module(low)
        terms = {}
        if free < len(low) and config.loss.pixel_weight:
            terms["loss/pixel"] = against_originals(output[free:], original[free:], now)
        if now <= section.until:
            if section.store is None:
                target = teacher.patches(low)
            else:
                target = torch.cat([teacher.patches(low[:free]), known[free:]]) if free else known
            terms["loss/teacher"] = against_teacher(output, target, now)
        return torch.stack(list(terms.values())).sum(), terms

    return look


def cut_free(high: Tensor, patch: int) -> Tensor:
    """From each of ``high``, N x 3 x H x W, a piece of ``patch`` x ``patch`` pixels somewhere in it."""
    room = torch.tensor([side - patch + 1 for side in high.shape[2:]])
    corners = (torch.rand(len(high), 2) * room).long().tolist()
    return torch.stack([each[:, y : y + patch, x : x + patch] for each, (y, x) in zip(high, corners, strict=True)])
