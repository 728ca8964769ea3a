"""The members of an ensemble: what each is trained with, and their training, one by one or on a device each."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from srgan.errors import Cancelled, CannotWrite, InvalidConfig, SrganError, TrainingFailed
from srgan.models import Bundle
from srgan.training.config import TrainConfig
from srgan.training.progress import TrainStatus, interrupts
from srgan.training.runs import finished_run

MEMBER = "member "
"""In front of a number, in `network.init_from`: the member of that number, of the same ensemble."""
STOPPED = 130
"""Exit code of a process that an interrupt has ended."""
_LOOK_EVERY = 0.2
_OF_A_TEAM = ("SRGAN_TRAIN__", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment, by their beginning, that are meant for this process and not for those it starts."""

log = logging.getLogger("srgan")

Progress = Callable[[TrainStatus], None]


def member_configs(config: TrainConfig, folder: Path) -> list[TrainConfig]:
    """The configuration of each member, trained on one device into ``folder`` / NUMBER.

    That of ``config`` with the member's own settings over it. What neither says: with ``ensemble.fidelity`` the first
    member is trained by `pretrain` and the others by `adversarial`, starting from the first; each has a seed of its
    own. Raises `InvalidConfig` with all mistakes.
    """
    section = config.ensemble
    if not 2 <= len(section.members) <= 8:
        raise InvalidConfig(f"ensemble.members: an ensemble has 2 to 8 members, not {len(section.members)}")
    tables = [key for key, value in config.model_dump().items() if isinstance(value, dict)]
    made, mistakes = [], []
    for number, own in enumerate(section.members):
        if flat := [key for key, value in own.items() if key in tables and not isinstance(value, Mapping)]:
            mistakes += [_said(number, (key,), "must be a table") for key in flat]
            continue
        values = _over(config.model_dump(exclude={"ensemble", "recipe"}), own)
        follows = section.fidelity and number > 0
        values.setdefault("recipe", "adversarial" if follows else "pretrain")
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
        if config.recipe == "ensemble":
            said.append(_said(number, ("recipe",), "a member cannot be an ensemble itself"))
        if config.ensemble.members:
            said.append(_said(number, ("ensemble",), "is for the ensemble as a whole, not for a member"))
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


def train_members(configs: Sequence[TrainConfig], *, devices: int, progress: Progress | None = None) -> list[Bundle]:
    """The members' bundles, in order. One that has finished already is taken as it is, one that has begun goes on.

    With ``devices`` above 1 so many are trained at a time, each in a process of its own that sees one device; what they
    say is in files beside their folders. Raises what `srgan.training.train` raises.
    """
    if devices > 1:
        return _side_by_side(configs, devices, progress)
    from srgan.training import train

    bundles: list[Bundle] = []
    for number, config in enumerate(configs):
        ready = _with_parent(config, bundles)
        bundle = finished(ready)
        if bundle is None:
            log.info("member %d of %d: recipe %s, seed %d", number, len(configs), ready.recipe, ready.seed)
            bundle = train(ready, progress=_shifted(progress, configs, number))
        bundles.append(bundle)
    return bundles


def finished(config: TrainConfig) -> Bundle | None:
    """The bundle that a run of this very configuration has left, if there is one."""
    run = finished_run(config)
    return Bundle.open(run.bundle) if run else None


def _with_parent(config: TrainConfig, bundles: Sequence[Bundle] | Mapping[int, Bundle]) -> TrainConfig:
    """``config`` with the bundle of the member that it starts from."""
    parent = parent_of(config)
    if parent is None:
        return config
    network = config.network.model_copy(update={"init_from": str(bundles[parent].path)})
    return config.model_copy(update={"network": network})


def _shifted(progress: Progress | None, configs: Sequence[TrainConfig], number: int) -> Progress | None:
    """``progress`` of all members, told of that of one."""
    if progress is None:
        return None
    before, steps = sum(config.steps for config in configs[:number]), sum(config.steps for config in configs)
    return lambda status: progress(replace(status, step=before + status.step, steps=steps))


# ------------------------------------------------------------------------------------------------- processes


def _side_by_side(configs: Sequence[TrainConfig], devices: int, progress: Progress | None) -> list[Bundle]:
    bundles: dict[int, Bundle] = {}
    running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}
    """By device: the member that is trained on it, and its process."""
    try:
        with interrupts() as interrupted:
            while len(bundles) < len(configs):
                _start_what_can(configs, bundles, running, devices)
                time.sleep(_LOOK_EVERY if running else 0)
                for device, (number, process) in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[device]
                    bundles[number] = _outcome(_with_parent(configs[number], bundles), number, process.returncode)
                    _tell(progress, configs, bundles)
                if interrupted.is_set():
                    raise Cancelled("the members were stopped; the same command, without --fresh, goes on from there")
    finally:
        # Each answers with a checkpoint.
        for _, process in running.values():
            process.send_signal(signal.SIGTERM)
        for _, process in running.values():
            process.wait()
    return [bundles[number] for number in range(len(configs))]


def _start_what_can(
    configs: Sequence[TrainConfig],
    bundles: dict[int, Bundle],
    running: dict[int, tuple[int, subprocess.Popen[bytes]]],
    devices: int,
) -> None:
    """Give each idle device a member whose parent is ready; one that has finished before is only taken."""
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
            return
        log.info("member %d of %d on device %d: recipe %s", number, len(configs), device, ready.recipe)
        running[device] = number, _start(ready, device, devices)


def _start(config: TrainConfig, device: int, devices: int) -> subprocess.Popen[bytes]:
    """A process that trains ``config`` and sees one device only."""
    folder = config.output.runs
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_OF_A_TEAM)}
    seen = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    environment["CUDA_VISIBLE_DEVICES"] = seen[device] if device < len(seen) else str(device)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{config.output.name}.json").write_text(config.model_dump_json(indent=1))
        with (folder / f"{config.output.name}.log").open("ab") as file:
            # A session of its own: Ctrl-C reaches this process alone, which then tells the others once.
            return subprocess.Popen(
                [sys.executable, "-m", "srgan.training.members", str(folder / f"{config.output.name}.json")],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
    except OSError as error:
        raise CannotWrite(f"{folder}: {error.strerror or error}") from error


def _outcome(config: TrainConfig, number: int, code: int) -> Bundle:
    """The bundle that a process has left; `TrainingFailed` says what its last words were."""
    bundle = finished(config)
    if bundle is not None:
        return bundle
    path = config.output.runs / f"{config.output.name}.log"
    if code == STOPPED:
        raise Cancelled("the members were stopped; the same command, without --fresh, goes on from there")
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()] or [f"exit code {code}"]
    raise TrainingFailed(f"member {number}: {lines[-1].strip()} ({path})")


def _tell(progress: Progress | None, configs: Sequence[TrainConfig], bundles: Mapping[int, Bundle]) -> None:
    if progress is not None:
        done, steps = sum(configs[number].steps for number in bundles), sum(config.steps for config in configs)
        progress(TrainStatus(step=done, steps=steps, loss=math.nan, psnr=None, steps_per_second=0.0))


def main(arguments: Sequence[str]) -> int:
    """Train the configuration in the JSON file that is the one argument; the exit code of the process."""
    from srgan.training import train

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        train(TrainConfig.model_validate_json(Path(arguments[0]).read_bytes()))
    except Cancelled:
        return STOPPED
    except SrganError as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
