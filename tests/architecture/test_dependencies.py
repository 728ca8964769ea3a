"""What the project installs: pinned for the checkout, optional where it is heavy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

APART = {"wandb"}
"""Extras that `all` leaves out, and so a checkout too: clients of services that not everyone has an account with."""


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    named = (line.partition("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, _, version in named}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(pyproject: dict[str, Any]) -> list[Requirement]:
    """Every requirement of the base, the extras and the tools, srgan's own extras left out."""
    project = pyproject["project"]
    extras = [texts for name, texts in project["optional-dependencies"].items() if name not in APART]
    lists = [project["dependencies"], *extras, pyproject["dependency-groups"]["dev"]]
    wanted = [Requirement(text) for texts in lists for text in texts]
    return [requirement for requirement in wanted if requirement.name != "srgan"]


def test_everything_that_a_checkout_installs_is_pinned(pyproject: dict[str, Any], pins: dict[str, str]) -> None:
    wanted = declared(pyproject)

    assert [r.name for r in wanted if normal(r.name) not in pins] == [], "run `make lock`"
    assert [str(r) for r in wanted if not r.specifier.contains(pins[normal(r.name)])] == [], "run `make lock`"
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins.values())


def test_the_base_install_is_small(pyproject: dict[str, Any]) -> None:
    base = {normal(Requirement(text).name) for text in pyproject["project"]["dependencies"]}

    assert base == {"numpy", "pillow", "ncnn", "typer", "rich", "pydantic", "pyyaml", "isal", "pyvips", "tifffile"}


def test_the_extra_all_holds_every_other_extra_of_srgan(pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    (everything,) = (Requirement(text) for text in extras["all"])

    assert everything.extras == set(extras) - {"all"} - APART
