"""Named, lazy tables of parts: the built-in ones merged with those that installed packages announce.

A table maps a name to ``"module:attribute"``; nothing is imported until `load` asks for it, and nothing is found by
scanning folders. Another package adds a part by an entry point in the table's group, for a backend
``[project.entry-points."srgan.backends"]``. A built-in name cannot be taken over by a plug-in.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from srgan.errors import InvalidConfig


@dataclass(frozen=True)
class Table:
    """One kind of part. ``group`` is the entry-point group, ``noun`` what messages call a part of it."""

    group: str
    noun: str
    builtin: Mapping[str, str]

    @cached_property
    def targets(self) -> dict[str, str]:
        """All names with their ``module:attribute``, built-ins first."""
        found = dict(self.builtin)
        for point in entry_points(group=self.group):
            found.setdefault(point.name, point.value)
        return found

    def names(self) -> list[str]:
        """The names of all parts."""
        return list(self.targets)

    def load(self, name: str) -> Any:
        """Import and return the part called ``name``.

        Raises `InvalidConfig` with the choices when there is none, and when a plug-in announces what it does not have.
        A built-in part whose optional library is missing raises ImportError, which its room translates.
        """
        if target := self.builtin.get(name):
            module, _, attribute = target.partition(":")
            return getattr(importlib.import_module(module), attribute)
        target = self.targets.get(name)
        if target is None:
            near = get_close_matches(name, self.names(), n=1, cutoff=0.75)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidConfig(f"There is no {self.noun} {name!r}.{meant} Choose one of: {', '.join(self.names())}")
        try:
            return EntryPoint(name, target, self.group).load()
        except (ImportError, AttributeError) as error:
            raise InvalidConfig(f"The plug-in for the {self.noun} {name!r} cannot be loaded: {error}") from error
