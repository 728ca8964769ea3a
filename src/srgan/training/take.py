"""Recipe `take`: no training at all, a finished model as it is. What an ensemble makes a member of a model with."""

from __future__ import annotations

import logging
from pathlib import Path

from srgan.errors import InvalidConfig
from srgan.models import Bundle, find_model, write_bundle
from srgan.progress import Report, Stop
from srgan.training.config import TrainConfig
from srgan.training.runs import open_run

log = logging.getLogger("srgan")


def take(config: TrainConfig, *, resume: bool | Path, report: Report, stop: Stop) -> Bundle:
    """Copy the model that ``config.network.init_from`` names into the run's folder, and return the copy.

    Raises `InvalidConfig` when it is not the network that ``config.network`` describes, `CannotWrite`, and
    what `find_model` raises.
    """
    section = config.network
    if not section.init_from:
        raise InvalidConfig("network.init_from: the recipe take needs the name or the path of a finished model")
    model = find_model(section.init_from, section.scale)
    options = {name: value for name, value in section.options.items() if name != "expanded"}
    wanted, found = (
        (section.name, section.scale, options),
        (model.info.network, model.info.scale, model.info.network_options),
    )
    if wanted != found:
        raise InvalidConfig(
            f"network.init_from: {section.init_from} is a network {found[0]!r} x{found[1]} with {found[2]}, "
            f"not {wanted[0]!r} x{wanted[1]} with {wanted[2]}"
        )
    run = open_run(config, resume=resume)
    with run.held():
        bundle = write_bundle(run.bundle, model.info, {name: model.read(name) for name in model.info.files})
    log.info("%s: %s as it is", bundle.path, model.info.name)
    return bundle
