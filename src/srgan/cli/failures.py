"""Exit codes, and the line on stderr that gives the reason."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from srgan import errors

SOME_FAILED = 1
STOPPED = 130

EXIT_CODES: dict[int, tuple[str, tuple[type[errors.SrganError], ...]]] = {
    0: ("Success.", ()),
    SOME_FAILED: ("Finished, but some files failed.", ()),
    2: ("The command line or the configuration is invalid.", (errors.InvalidConfig,)),
    3: (
        "The input cannot be read, or a picture exceeds the limits or the output format.",
        (errors.InvalidImage, errors.LimitExceeded, errors.InvalidDataset),
    ),
    4: (
        "The model was not found, is damaged or cannot do what was requested.",
        (errors.ModelNotFound, errors.CorruptModel, errors.UnsupportedModel),
    ),
    5: (
        "A device or an optional library is missing.",
        (errors.DeviceUnavailable, errors.MissingDependency),
    ),
    6: (
        "The work failed: out of memory, no usable output, or training that cannot continue.",
        (errors.OutOfMemory, errors.UpscaleFailed, errors.TrainingFailed, errors.Closed, errors.SrganError),
    ),
    7: ("The output cannot be written; an existing file is unchanged.", (errors.CannotWrite,)),
    70: ("A bug in srgan.", ()),
    129: ("Stopped by SIGHUP: the terminal was closed.", ()),
    STOPPED: ("Stopped by Ctrl-C.", (errors.Cancelled,)),
    141: ("The program that reads the output has ended.", ()),
    143: ("Stopped by SIGTERM.", ()),
}
"""Each exit code with its meaning and the errors that give it."""


class OutputClosed(Exception):
    """Whoever read our stdout has gone, as in ``srgan models list | head -1``."""


def exit_code_of(error: errors.SrganError) -> int:
    """The exit code for ``error``: that of the nearest of its classes in the table."""
    codes = {kind: code for code, (_, kinds) in EXIT_CODES.items() for kind in kinds}
    return next(codes[kind] for kind in type(error).__mro__ if kind in codes)


def complain(message: str) -> None:
    """Write an error to stderr: each of its lines on its own, so that every line can be found by its beginning."""
    for line in message.splitlines() or [""]:
        write_talk(f"srgan: error: {line}")


def write_talk(line: str) -> None:
    """One line on stderr. Nobody listening is no reason to fail."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def as_exit_code() -> Iterator[None]:
    """Turn whatever goes wrong in the block into a message and `SystemExit`."""
    try:
        yield
    except errors.Cancelled as stop:
        write_talk(f"srgan: {stop}")
        raise SystemExit(STOPPED) from None
    except errors.SrganError as error:
        if wants_traceback():
            traceback.print_exc()
        complain(str(error))
        raise SystemExit(exit_code_of(error)) from None
    except MemoryError:
        complain("the machine has no memory left for this")
        raise SystemExit(exit_code_of(errors.OutOfMemory())) from None
    except KeyboardInterrupt:
        write_talk("srgan: stopped")
        raise SystemExit(STOPPED) from None
    except OutputClosed:
        _forget_stdout()
        raise SystemExit(141) from None
    except Exception as error:
        traceback.print_exc()
        complain(
            f"this is a bug in srgan ({type(error).__name__}); please report it with the command and the lines above"
        )
        raise SystemExit(70) from None


def wants_traceback() -> bool:
    """Whether a deliberate error is to be shown with its traceback: with ``-vv`` or ``SRGAN_DEBUG``."""
    import logging

    return bool(os.environ.get("SRGAN_DEBUG")) or logging.getLogger("srgan").isEnabledFor(logging.DEBUG)


def _forget_stdout() -> None:
    """Let the interpreter flush what is left of stdout into nothing, instead of complaining about it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
