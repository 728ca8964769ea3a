"""The end that recipes share: which weights become the model, and its bundle."""

from __future__ import annotations

import logging
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch

from srgan.errors import Cancelled, TrainingFailed
from srgan.models import Bundle, ModelInfo, Provenance, write_bundle
from srgan.networks.network import Network, facts
from srgan.training.config import TrainConfig
from srgan.training.data import TileStore
from srgan.training.loop import Sitting, growth
from srgan.training.runs import Run, config_hash
from srgan.training.setup import averaged
from srgan.training.state import State
from srgan.training.validation import Validator

ALL_DONE = "all steps are done, and the same command, without --fresh, writes the model"
GROWN = 10.0
"""How many times its loss at the beginning a training that ended well can never have."""
DOUBLED = 2.0
"""The same of one that was only short, from batch to batch."""
FAR_BEHIND = 10.0
"""dB below bicubic that a training did not aim for, if its loss has grown too."""

log = logging.getLogger("srgan")


def finish(sitting: Sitting, store: TileStore, *, loss_features: tuple[str, ...] = ()) -> Bundle:
    """Write the finished model's bundle into the run's folder; of several processes the leader, and the others wait.

    ``loss_features`` are the networks that losses looked through; those of the model it started from, and of its
    teacher, are added. Raises `Cancelled` when that is wished before it begins, and `TrainingFailed` for what
    `OutputSection.unfit` refuses.
    """
    config, run, state, team = sitting.config, sitting.run, sitting.state, sitting.team
    if team.agree(sitting.stop.is_set()):
        team.part()
        raise Cancelled(f"{run.folder}: {ALL_DONE}")
    network = chosen(config, run, state) if team.leads else None
    if trouble := team.tell(_trouble(sitting) if network else ""):
        team.part()
        raise TrainingFailed(trouble)
    if network:
        provenance = Provenance(
            **origin_of(config, run, store),
            steps=state.step,
            trained_on=trained_on(next(state.network.parameters()).device, state.seconds),
            parent=state.parent or "",
            teacher=run.teacher.get("said", ""),
            loss_features=tuple(dict.fromkeys((*state.parent_features, *run.teacher_features, *loss_features))),
        )
        options = {name: value for name, value in config.network.options.items() if name != "expanded"}
        finish_run(config, run, network, config.network.name, options, provenance)
    team.part()
    return Bundle.open(run.bundle)


def _trouble(sitting: Sitting) -> str:
    """Why no model is to be made of this run, empty if nothing speaks against it. Warns of one worse than bicubic."""
    state, folder = sitting.state, sitting.run.folder
    times, behind = growth(state), 0.0
    if sitting.validator is not None and state.psnr is not None:
        behind = warn_of(f"{folder}: the model", state.psnr, cast(Validator, sitting.validator))
    if not (times > GROWN or (times > DOUBLED and behind > FAR_BEHIND)) or sitting.config.output.unfit == "keep":
        return ""
    return (
        f"{folder}: training has blown up: at the end the loss is {times:.3g} times that of the first step; no model "
        "is written. Begin again with a lower learning rate, go back to a checkpoint, or have it written all the same: "
        "--set output.unfit=keep"
    )


def warn_of(model: str, psnr: float, validator: Validator) -> float:
    """Warn when the ``psnr`` of ``model`` is below that of bicubic. By how many dB it is; 0 or less if it is not."""
    behind = validator.bicubic() - psnr
    if behind > 0:
        log.warning(
            "%s is worse than bicubic by PSNR on the validation pictures: %.2f dB, and bicubic %.2f dB",
            model,
            psnr,
            psnr + behind,
        )
    return behind


def finish_run(
    config: TrainConfig, run: Run, network: Network, name: str, options: dict[str, Any], provenance: Provenance
) -> Bundle:
    """Write the bundle of ``run``: the deployed ``network``, which is of the architecture ``name`` with ``options``."""
    try:
        bundle = write_model(
            run.bundle,
            network,
            name=config.output.name,
            family=config.output.family,
            description=config.output.description,
            network=name,
            network_options=options,
            licence=config.output.licence,
            provenance=provenance,
        )
    except KeyboardInterrupt:
        raise Cancelled(f"{run.folder}: {ALL_DONE}") from None
    log.info("%s: finished", bundle.path)
    return bundle


def write_model(target: Path, deployed: Network, /, **said: Any) -> Bundle:
    """Write the bundle ``target`` of a ``deployed`` network in all forms.

    ``said`` are the fields of its `ModelInfo` that do not follow from the network.
    """
    from srgan.networks.export import export_forms

    network = deployed.cpu()
    info = ModelInfo(**facts(network), **said)
    return write_bundle(target, info, export_forms(network, info))


def origin_of(config: TrainConfig, run: Run, store: TileStore) -> dict[str, Any]:
    """What a model's provenance says of the training whatever the recipe, by field."""
    return {
        "corpus": config.output.corpus or f"{store.pictures} pictures, {store.megapixels:.0f} megapixels",
        "recipe": config.recipe,
        "config": config.output.name,
        "config_sha256": config_hash(config),
        "seed": config.seed,
        "commit": run.commit,
    }


def chosen(config: TrainConfig, run: Run, state: State) -> Network:
    """The network that becomes the model, as `OutputSection.take` says. Takes ``state`` back to the best step if so.

    A best checkpoint that is gone is warned of: the model is then that of the last step.
    """
    if config.output.take == "best":
        best = run.checkpoint(state.best_step)
        if state.best_step and best.exists():
            state.load(best)
            log.info("%s: the model is that of step %d, the best", run.folder, state.step)
        else:
            log.warning("%s: the best checkpoint is missing; the model is that of step %d", run.folder, state.step)
    return averaged(state)


def trained_on(device: torch.device, seconds: float) -> str:
    """What trained a model, and for how long, for its provenance."""
    threads = torch.get_num_threads()
    name = f"{platform.machine()} CPU, {threads} thread{'s' * (threads > 1)}"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return f"{name}, {seconds / 60:.0f} minutes, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"
