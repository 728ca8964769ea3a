"""Files that one process at a time may hold."""

from __future__ import annotations

import errno
import logging
import os
import sys

log = logging.getLogger("srgan")


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
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        log.warning("this file system has no locks: see that no second srgan works on the same folder")
    return True
