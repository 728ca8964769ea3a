"""The rows, a module for each kind. Importing this package collects them all, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from conformance.bench import Bench, Row

MODULES = ("formats", "animation", "colour", "depth", "alpha", "metadata", "geometry", "hostile", "outputs", "batch")
ROWS: dict[str, Row] = {}

Check = Callable[[Bench], None]


def row(id: str, title: str, given: str, why: str) -> Callable[[Check], Check]:
    """Enter a check under an id of its own."""

    def enter(check: Check) -> Check:
        if id in ROWS:
            raise ValueError(f"two rows are called {id}")
        ROWS[id] = Row(id, title, given, why, check)
        return check

    return enter


def collected() -> list[Row]:
    """All rows."""
    for name in MODULES:
        import_module(f"{__name__}.{name}")
    # Whoever imported a module first must not decide the order.
    return sorted(ROWS.values(), key=lambda row: MODULES.index(row.check.__module__.rpartition(".")[2]))
