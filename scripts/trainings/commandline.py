"""Train models one after another, as a queue in a file says: see docs/how-to/train-queue.md.

scripts/train_queue run        train, entry after entry, until all are done; Ctrl-C and the like save a checkpoint
scripts/train_queue status     how far each entry is
scripts/train_queue pause      have the training stand still, so that something can be measured; resume: go on
scripts/train_queue stop       end it, with a checkpoint
scripts/train_queue harvest    make bundles of what there is, and ship those that are better than what is shipped
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from scripts.trainings.diary import Diary
from scripts.trainings.entries import QueueFile
from scripts.trainings.place import Place, paused

from srgan.cli.failures import SOME_FAILED, as_exit_code, complain
from srgan.cli.interrupts import stopping
from srgan.cli.output import Progress, emit, say, set_verbosity, start_logging
from srgan.errors import InvalidConfig, SrganError

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that say how many threads libraries take; they look when they are loaded."""


def main(words: Sequence[str] | None = None) -> int:
    """Carry out a command line; the exit code is that of srgan for the same trouble."""
    given = _parser().parse_args(words)
    start_logging()
    set_verbosity(1, quiet=False)
    place = Place(given.place.expanduser()) if given.place else Place.usual()
    try:
        with as_exit_code():
            if os.name != "posix":
                raise InvalidConfig("the queue needs signals and locks of POSIX: Linux or macOS")
            return _carry_out(given, place)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


def _carry_out(given: argparse.Namespace, place: Place) -> int:
    queue = QueueFile(given.queue, given.data or place.data())
    diary = Diary(given.log)
    match given.command:
        case "run":
            return _run(given, queue, place, diary)
        case "harvest":
            return _harvest(given, queue, place, diary)
        case "status":
            from scripts.trainings.status import status

            emit(status(queue, place, datetime.now()))
        case "pause":
            emit("paused" if place.pause() else _nothing(place, "moves"))
        case "resume":
            emit("goes on" if place.resume() else _nothing(place, "is paused"))
        case "stop":
            emit("stopped, with a checkpoint" if place.stop() else _nothing(place, "runs"))
        case "quietly":
            with paused(place):
                return subprocess.run(given.words, check=False).returncode
    return 0


def _nothing(place: Place, what: str) -> str:
    return f"no training {what} in {place.folder}"


def _run(given: argparse.Namespace, queue: QueueFile, place: Place, diary: Diary) -> int:
    os.environ.update(dict.fromkeys(LIBRARIES, str(given.threads)))
    os.nice(given.nice)
    from scripts.trainings.work import Work

    from srgan.training import train

    with stopping("stopping after this step, with a checkpoint") as stop, Progress("training", every=60.0) as progress:
        work = Work(
            queue=queue,
            place=place,
            shipped=given.shipped,
            diary=diary,
            train=train,
            report=progress,
            threads=given.threads,
        )
        passed = work.through(stop)
    if not passed:
        say("nothing is left to train")
    return SOME_FAILED if passed else 0


def _harvest(given: argparse.Namespace, queue: QueueFile, place: Place, diary: Diary) -> int:
    os.nice(given.nice)
    from scripts.trainings.harvest import Harvest

    harvest = Harvest(queue=queue, place=place, shipped=given.shipped, diary=diary, threads=given.threads, say=emit)
    entries = queue.read().entry
    names = given.entries or [e.name for e in entries if (place.runs / e.becomes).is_dir()]
    if not names:
        emit(f"there are no runs of this queue in {place.runs}")
    failed = False
    for name in names:
        try:
            harvest.entry(name)
        except SrganError as error:
            complain(f"{name}: {error}")
            failed = True
    return SOME_FAILED if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train_queue", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queue", type=Path, default=ROOT / "configs" / "queue.toml", help="the queue's file")
    parser.add_argument("--place", type=Path, help="folder of runs and checkpoints; default: $SRGAN_TRAINING, else "
                        "srgan/training among your data")  # fmt: skip
    parser.add_argument("--data", type=lambda paths: tuple(map(Path, paths.split(os.pathsep))), default=(),
                        help="folders of pictures, where the queue says what is what; default: $SRGAN_DATA, then data "
                        "in the folder of trainings")  # fmt: skip
    parser.add_argument("--log", type=Path, default=ROOT / "docs" / "training-log.md", help="the training log")
    parser.add_argument("--shipped", type=Path, default=ROOT / "src" / "srgan" / "models" / "shipped",
                        help="folder of the shipped bundles")  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in ("run", "harvest"):
        command = commands.add_parser(name)
        command.add_argument("--threads", type=int, default=1, metavar="N", help="processor cores; default 1")
        command.add_argument("--nice", type=int, default=10, metavar="N", help="how far to step back; default 10")
        if name == "harvest":
            command.add_argument("entries", nargs="*", metavar="ENTRY", help="default: all that have runs here")
    for name in ("status", "pause", "resume", "stop"):
        commands.add_parser(name)
    quietly = commands.add_parser("quietly", help="pause, carry out a command, and go on")
    quietly.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    return parser
