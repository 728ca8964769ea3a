"""When a file in a watched folder is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from srgan.errors import InvalidConfig


class Watcher:
    """Says of each file once that it has come to rest: its size and time have been the same for ``settle`` seconds.

    Looking again and again needs nothing of the system and works on every file system, network shares too. Raises
    `InvalidConfig` for a time that is none.
    """

    def __init__(self, settle: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not settle >= 0:
            raise InvalidConfig(f"settle must be 0 seconds or more, not {settle}")
        self._settle = settle
        self._clock = clock
        self._seen: dict[str, tuple[tuple[int, int], float, bool]] = {}

    def takes(self, name: str, path: Path) -> bool:
        """Whether the file is to be taken now: it rests, and was not taken as it is."""
        try:
            status = os.stat(path)
        except OSError:
            self._seen.pop(name, None)
            return False
        now, state = self._clock(), (status.st_size, status.st_mtime_ns)
        before, since, taken = self._seen.get(name, (None, now, False))
        if state != before:
            self._seen[name] = (state, now, False)
            since, taken = now, False
        if taken or now - since < self._settle:
            return False
        self._seen[name] = (state, since, True)
        return True

    def keep(self, names: Collection[str]) -> None:
        """Forget all files but these: one that went away and comes back is new."""
        for name in self._seen.keys() - set(names):
            del self._seen[name]
