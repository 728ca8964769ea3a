"""The front door: what `import srgan` offers, what it costs, and what type checkers see."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import srgan


def test_every_public_name_resolves_and_stays_the_same() -> None:
    for name in srgan.__all__:
        value = getattr(srgan, name)
        assert value is not None, name
        assert getattr(srgan, name) is value, name
        assert vars(srgan)[name] is value, f"{name} is looked up again every time"


def test_no_name_is_offered_that_type_checkers_do_not_see_and_none_is_forgotten() -> None:
    tree = ast.parse(Path(str(srgan.__file__)).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }

    assert imported == srgan._HOMES
    assert set(srgan.__all__) == {*srgan._HOMES, "__version__"}


def test_public_names_come_from_where_they_are_documented() -> None:
    for name in srgan.__all__:
        value = getattr(srgan, name)
        if name != "__version__":
            assert (value.__doc__ or "").strip(), f"{name} says nothing about itself"
            assert value.__module__.startswith("srgan.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'srgan' has no attribute 'upscle'"):
        _ = srgan.upscle  # type: ignore[attr-defined]


def test_completion_shows_the_names_before_anything_is_loaded() -> None:
    program = "import srgan, sys; assert {*srgan.__all__} <= {*dir(srgan)}; assert 'numpy' not in sys.modules"

    subprocess.run([sys.executable, "-c", program], check=True)


def test_from_import_works_for_every_name() -> None:
    subprocess.run([sys.executable, "-c", f"from srgan import {', '.join(srgan.__all__)}"], check=True)


def test_importing_costs_next_to_nothing() -> None:
    """The promise is 60 ms over bare Python; one measurement on a busy machine says little, the best of five enough."""
    program = "import time; began = time.perf_counter(); import srgan; print(time.perf_counter() - began)"
    costs = [
        float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
        for _ in range(5)
    ]

    assert min(costs) < 0.06
