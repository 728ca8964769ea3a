"""Files that are written whole or not at all, what a killed writer leaves behind, and files that one process holds.

Whoever writes a file that somebody may want to read writes it by `replacing`, `write_whole` or `put_folder`. A file
that is being made has a hidden name and is locked as long as its writer lives. What a killed writer left is removed by
the next one that writes into the same folder.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from srgan.errors import CannotWrite

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed in the first place
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("srgan")

EXISTS = "exists already; allow overwriting, or choose another name"
_TEMPORARY = re.compile(r"\.srgan-[0-9a-f]{16}\.part")
_UNLOCKED_AGE = 60.0
"""Seconds that a leftover must have been left alone where there are no locks."""
_swept = ""
"""The folder that was last written into, whose leftovers are gone: one that gets many files is looked through once."""


def check_target(
    target: str | os.PathLike[str], *, overwrite: bool = False, source: str | os.PathLike[str] | None = None
) -> None:
    """Whether a file may be written to ``target``; call it before the work.

    The file ``source`` is never written to, ``overwrite`` or not, by whatever name or link ``target`` reaches it.
    Raises `CannotWrite`.
    """
    target = Path(target)
    if source is not None and os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise CannotWrite(f"{target}: is also the input; choose another output name")
    parent = target.parent
    try:
        os.lstat(target)
        exists = True
    except (FileNotFoundError, NotADirectoryError):
        exists = False
    except (OSError, ValueError) as error:
        raise CannotWrite(f"{target}: {reason(error)}") from error
    if target.is_dir():
        why = "is a folder"
    elif target.exists() and not target.is_file():
        why = "is not a regular file"
    elif exists and not overwrite:
        why = EXISTS
    elif not parent.is_dir():
        why = f"the folder {parent} does not exist"
    elif not os.access(parent, os.W_OK | os.X_OK):
        why = f"the folder {parent} cannot be written to"
    else:
        return
    raise CannotWrite(f"{target}: {why}")


def check_space(target: str | os.PathLike[str], needed: int) -> None:
    """Whether the disk of ``target`` has ``needed`` bytes free; call it before the work.

    An output that is replaced counts as used: it stays until the new one is
    complete. Nothing is said where free space cannot be told. Raises `CannotWrite`.
    """
    try:
        free = shutil.disk_usage(Path(os.path.realpath(target)).parent).free
    except (OSError, ValueError):
        return
    if free < needed:
        raise CannotWrite(f"{target}: needs about {needed:,} bytes, but only {free:,} are free on the disk")


@contextmanager
def replacing(target: Path, *, overwrite: bool) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file beside ``target`` that takes its place when the block ends, and vanishes when the block fails.

    Its name is hidden, and it is locked as long as its writer lives: see `remove_leftovers`. Raises OSError, and
    FileExistsError without ``overwrite`` when something has taken the name.
    """
    real = Path(os.path.realpath(target))  # a link is kept, what it points to is replaced
    _sweep(real.parent)
    descriptor, temporary = _temporary(real.parent)
    # By an opener, so that the stream knows its name. Closed below, on Windows before the renaming.
    stream = open(temporary, "w+b", opener=lambda *_: descriptor)  # noqa: SIM115
    try:
        yield stream, temporary
        stream.flush()
        if fcntl is None:
            stream.close()
        if overwrite:
            if real.exists():
                os.chmod(temporary, real.stat().st_mode & 0o7777)
            os.replace(temporary, real)
        else:
            rename_onto_nothing(temporary, real)
    finally:
        if fcntl is None:
            _close(stream)
        temporary.unlink(missing_ok=True)
        _close(stream)


def write_whole(target: str | os.PathLike[str], data: str | bytes, *, overwrite: bool = True) -> None:
    """Write a small file so that it is whole, and on the disk, or what it was before.

    Text is UTF-8; what is no text in it, such as a file name that is not Unicode, becomes an escape. Raises
    `CannotWrite`.
    """
    content = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    try:
        with replacing(Path(target), overwrite=overwrite) as (stream, _):
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError as error:
        raise CannotWrite(f"{target}: {EXISTS}") from error
    except OSError as error:
        raise CannotWrite(f"{target}: {reason(error)}") from error


def put_folder(fresh: Path, target: Path, old: Path) -> None:
    """Rename the folder or file ``fresh`` to ``target``. A folder there, which no rename replaces, goes to ``old``.

    All on one disk. When it fails, with OSError, the older one is in its place again.
    """
    if not target.is_dir():
        fresh.replace(target)
        return
    target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        old.rename(target)
        raise


def hold(file: int) -> bool:
    """Take the open file for this process, until it is closed or the process dies; False when another one has it.

    Where the file system has no locks it is True all the same, and a warning tells.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, 1 << 40, os.SEEK_SET)  # beyond all content: a locked part cannot be read
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        log.warning("this file system has no locks: make sure that no second srgan uses the same folder")
    return True


def _sweep(folder: Path) -> None:
    """Remove what killed writers left in ``folder``, unless it was done just now."""
    global _swept
    if str(folder) != _swept:
        _swept = str(folder)
        for path in remove_leftovers(folder):
            log.info("%s: removed, an unfinished file of a process that has ended", path)


def remove_leftovers(folder: str | os.PathLike[str]) -> list[Path]:
    """Remove the unfinished files that killed writers left in ``folder``, not in the folders in it; returns them.

    A file whose writer lives is locked by it and stays, on this machine and, where the file system passes locks on,
    on others. Where there are no locks only files stay that cannot be removed or that changed within a minute. What
    cannot be read or removed is passed over.
    """
    removed = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _TEMPORARY.fullmatch(entry.name) and _remove_dead(Path(entry.path)):
                removed.append(Path(entry.path))
    return sorted(removed)


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())


def _temporary(folder: Path) -> tuple[int, Path]:
    """A new file, open and locked. Whoever clears up between the two steps may take it, so it is looked at again."""
    while True:
        path = folder / f".srgan-{secrets.token_hex(8)}.part"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666)
        if fcntl is None:
            return descriptor, path
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)


def _remove_dead(path: Path) -> bool:
    """Remove the file at ``path`` unless its writer lives."""
    try:
        if fcntl is None:
            if time.time() - path.stat().st_mtime < _UNLOCKED_AGE:
                return False
            path.unlink()
            return True
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return False
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            return True
        finally:
            os.close(descriptor)
    except OSError:
        return False


def rename_onto_nothing(temporary: Path, real: Path) -> None:
    """Give ``temporary`` the name ``real`` unless something has it; where there are no links, check and rename.

    ``temporary`` may stay, under both names. Raises FileExistsError and other OSError.
    """
    try:
        os.link(temporary, real)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(real):
            raise FileExistsError(real) from None
        os.rename(temporary, real)


def _close(stream: BinaryIO) -> None:
    """Close what is flushed or not wanted any more: a full disk must not speak up a second time."""
    with contextlib.suppress(OSError):
        stream.close()
