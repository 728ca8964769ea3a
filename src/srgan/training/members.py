"""The members of an ensemble: what each is trained with, and their training, one by one or on a device each."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from srgan.errors import Cancelled, InvalidConfig, TrainingFailed
from srgan.hardware import default_threads
from srgan.models import Bundle
from srgan.progress import Report, Step, Stop, part
from srgan.training.apart import Child, dismissing, listen
from srgan.training.config import TrainConfig
from srgan.training.job import TrainJob
from srgan.training.launch import OF_A_TEAM
from srgan.training.recipes import EnsembleConfig
from srgan.training.runs import finished_run

MEMBER = "member "
"""In front of a number, in `network.init_from`: the member of that number, of the same ensemble."""
GO_ON = "the members were stopped; the same command without --fresh continues from there"

log = logging.getLogger("srgan")


def member_configs(config: EnsembleConfig, folder: Path) -> list[TrainConfig]:
    """The configuration of each member, trained on one device into ``folder`` / NUMBER.

    That of ``config`` with the member's own settings over it. What neither says: with ``ensemble.fidelity`` the first
    member is trained by `pretrain` and the others by `adversarial`, starting from the first; each has a seed of its
    own. Raises `InvalidConfig` with all mistakes.
    """
    section = config.ensemble
    if not 2 <= len(section.members) <= 8:
        raise InvalidConfig(f"ensemble.members: an ensemble has 2 to 8 members, not {len(section.members)}")
    shared = config.model_dump(exclude={"ensemble", "recipe"})
    tables = [key for key, value in shared.items() if isinstance(value, dict)]
    made, mistakes = [], []
    for number, own in enumerate(section.members):
        follows = section.fidelity and number > 0
        recipe = own.get("recipe", "adversarial" if follows else "pretrain")
        if told := [*_misplaced(number, own, recipe, tables)]:
            mistakes += told
            continue
        # What the ensemble has for members of another recipe is not for this one.
        known = TrainConfig.form_of({"recipe": recipe}).model_fields
        values = _over({key: value for key, value in shared.items() if key in known}, own) | {"recipe": recipe}
        if "seed" not in own:
            values["seed"] = config.seed + number
        if follows and not values["network"]["init_from"]:
            values["network"]["init_from"] = f"{MEMBER}0"
        values["output"] |= {"name": str(number), "runs": folder, "family": "", "description": ""}
        values["hardware"]["devices"] = 1
        try:
            made.append(TrainConfig.model_validate(values))
        except ValidationError as error:
            mistakes += [_said(number, fault["loc"], fault["msg"]) for fault in error.errors(include_url=False)]
    if mistakes := mistakes or _contradictions(made, config.network.scale):
        raise InvalidConfig("\n".join(mistakes))
    return made


def _misplaced(number: int, own: Mapping[str, Any], recipe: Any, tables: Sequence[str]) -> Iterator[str]:
    """What the table of a member may not hold at all."""
    for key in [key for key, value in own.items() if key in tables and not isinstance(value, Mapping)]:
        yield _said(number, (key,), "must be a table")
    if recipe == "ensemble":
        yield _said(number, ("recipe",), "a member cannot be an ensemble itself")
    if "ensemble" in own:
        yield _said(number, ("ensemble",), "is for the ensemble as a whole, not for a member")


def _over(values: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with those of ``own`` in their place, table by table."""
    result = dict(values)
    for key, value in own.items():
        below = result.get(key)
        result[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return result


def _said(number: int, path: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, ('ensemble.members', number, *path)))}: {message}"


def _contradictions(configs: Sequence[TrainConfig], scale: int) -> list[str]:
    """What does not go together in members of an ensemble of ``scale``."""
    said = []
    for number, config in enumerate(configs):
        if _architecture(config) != _architecture(configs[0]):
            said.append(_said(number, ("network",), "name and options must be those of member 0"))
        if config.network.scale != scale:
            said.append(_said(number, ("network", "scale"), f"must be network.scale of the ensemble, {scale}"))
        start = config.network.init_from
        if start.startswith(MEMBER) and start not in [f"{MEMBER}{other}" for other in range(number)]:
            said.append(_said(number, ("network", "init_from"), f"there is no {start!r} before this one"))
    return said


def _architecture(config: TrainConfig) -> tuple[Any, ...]:
    options = {key: value for key, value in config.network.options.items() if key != "expanded"}
    return config.network.name, options


def parent_of(config: TrainConfig) -> int | None:
    """The member that this one starts from."""
    start = config.network.init_from
    return int(start.removeprefix(MEMBER)) if start.startswith(MEMBER) else None


def train_members(configs: Sequence[TrainConfig], *, devices: int, report: Report, stop: Stop) -> list[Bundle]:
    """The members' bundles, in order. One that has finished already is taken as it is, one that has begun goes on.

    With ``devices`` above 1 so many are trained at a time, each in a process of its own that sees one device. Raises
    what `srgan.training.train` raises.
    """
    if devices > 1:
        return _side_by_side(configs, devices, report, stop)
    from srgan.training import train

    bundles: list[Bundle] = []
    steps = [config.steps for config in configs]
    for number, config in enumerate(configs):
        ready = _with_parent(config, bundles)
        bundle = finished(ready)
        if bundle is None:
            log.info("member %d of %d: recipe %s, seed %d", number, len(configs), ready.recipe, ready.seed)
            own = part(report, sum(steps[:number]), ready.steps, sum(steps), unit="steps")
            bundle = train(ready, report=own, stop=stop)
        bundles.append(bundle)
    return bundles


def finished(config: TrainConfig) -> Bundle | None:
    """The bundle that a run has left which trained the same, if there is one."""
    run = finished_run(config)
    return Bundle.open(run.bundle) if run else None


def _with_parent(config: TrainConfig, bundles: Sequence[Bundle] | Mapping[int, Bundle]) -> TrainConfig:
    """``config`` with the bundle of the member that it starts from."""
    parent = parent_of(config)
    if parent is None:
        return config
    network = config.network.model_copy(update={"init_from": str(bundles[parent].path)})
    return config.model_copy(update={"network": network})


# ------------------------------------------------------------------------------------------------- processes


def _side_by_side(configs: Sequence[TrainConfig], devices: int, report: Report, stop: Stop) -> list[Bundle]:
    bundles: dict[int, Bundle] = {}
    running: dict[int, tuple[int, Child]] = {}
    """By device: the member that is trained on it, and its process."""
    begun: list[Child] = []
    told = dict.fromkeys(range(len(configs)), Step(0, 0))
    with dismissing(begun):
        while len(bundles) < len(configs):
            if stop.is_set():
                for _, child in running.values():
                    child.stop(stop.reason)
                if not running:
                    raise Cancelled(GO_ON)
            else:
                begun += _start_what_can(configs, bundles, running, devices)
            listen([child for _, child in running.values()])
            for device, (number, child) in list(running.items()):
                for step in child.read():
                    told[number] = step
                    report(_sum(configs, told, bundles, step.note))
                if child.outcome is None:
                    continue
                del running[device]
                if (bundle := _result(child, number, stop)) is not None:
                    bundles[number] = bundle
    return [bundles[number] for number in range(len(configs))]


def _start_what_can(
    configs: Sequence[TrainConfig], bundles: dict[int, Bundle], running: dict[int, tuple[int, Child]], devices: int
) -> list[Child]:
    """Give each idle device a member whose parent is ready; one that has finished before is only taken."""
    begun: list[Child] = []
    under_way = {number for number, _ in running.values()}
    for number, config in enumerate(configs):
        parent = parent_of(config)
        if number in bundles or number in under_way or (parent is not None and parent not in bundles):
            continue
        ready = _with_parent(config, bundles)
        if (bundle := finished(ready)) is not None:
            bundles[number] = bundle
            continue
        device = next((place for place in range(devices) if place not in running), None)
        if device is None:
            break
        log.info("member %d of %d on device %d: recipe %s", number, len(configs), device, ready.recipe)
        begun.append(_start(ready, number, device, devices))
        running[device] = number, begun[-1]
    return begun


def _start(config: TrainConfig, number: int, device: int, devices: int) -> Child:
    """A process that trains ``config``, and sees one device and its share of the processor only."""
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    environment: dict[str, str | None] = {
        **dict.fromkeys(OF_A_TEAM),
        "CUDA_VISIBLE_DEVICES": seen[device] if device < len(seen) else str(device),
    }
    threads = config.hardware.threads or max(1, default_threads() // devices)
    hardware = config.hardware.model_copy(update={"threads": threads})
    job = TrainJob(config=config.model_copy(update={"hardware": hardware}))
    return Child(job, environment=environment, name=f"member {number}: ")


def _result(child: Child, number: int, stop: Stop) -> Bundle | None:
    """The bundle of a member; None when it was stopped as was wished. Raises what it raised."""
    try:
        return child.bundle()
    except Cancelled:
        if stop.is_set():
            return None
        raise Cancelled(GO_ON) from None
    except TrainingFailed as error:
        raise TrainingFailed(f"member {number}: {error}") from error


def _sum(configs: Sequence[TrainConfig], told: Mapping[int, Step], bundles: Mapping[int, Bundle], note: str) -> Step:
    """How far all members are."""
    done = sum(config.steps if number in bundles else told[number].done for number, config in enumerate(configs))
    return Step(done, sum(config.steps for config in configs), "steps", note)
