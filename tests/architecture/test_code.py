"""The shape of the source: file names, sizes, and what a module says it offers."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.metadata
import inspect
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

import srgan
from srgan.jobs import Kind
from srgan.plugins import Table

MODULE_LINES = 500
FUNCTION_LINES = 60
VAGUE_NAMES = {"base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}
VERSION_SUFFIXES = ("_v2", "_v3", "_new", "_old", "_simple", "_improved", "2")
PACKAGE = Path(srgan.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parents[1].rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent)) if path.is_relative_to(PACKAGE) else path.name


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imported_modules() -> Iterator[ModuleType]:
    """Every module of the package, each imported; those whose optional library is not installed are left out."""
    yield srgan
    for found in pkgutil.walk_packages([str(PACKAGE)], "srgan."):
        try:
            yield importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("srgan"):
                raise


def test_no_module_is_longer_than_one_can_keep_in_mind() -> None:
    sizes = {shown(path): len(path.read_text("utf-8").splitlines()) for path in MODULES + TESTS}

    assert len(sizes) > 10
    assert {name: size for name, size in sizes.items() if size > MODULE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    sizes = {
        f"{shown(path)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in MODULES
        for node in functions(path)
    }

    assert len(sizes) > 50
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}


def test_every_file_and_folder_is_named_after_what_it_knows() -> None:
    vague = [
        shown(path)
        for path in MODULES
        for part in (*path.relative_to(PACKAGE).parent.parts, path.stem)
        if part.strip("_") in VAGUE_NAMES or part.endswith(VERSION_SUFFIXES)
    ]

    assert vague == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [shown(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]

    assert silent == []


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in TESTS if path.name != "conftest.py"]

    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_entry_of_every_plug_in_table_resolves() -> None:
    tables = {
        id(value): value for module in imported_modules() for value in vars(module).values() if isinstance(value, Table)
    }

    assert tables, "no plug-in table was found"
    assert len({table.group for table in tables.values()}) == len(tables), "two tables share an entry-point group"
    for table in tables.values():
        assert table.group.startswith("srgan.")
        for name in table.builtin:
            try:
                part = table.load(name)
            except ModuleNotFoundError as error:
                pytest.skip(f"{error.name} is not installed")
            assert callable(part) or isinstance(part, Kind), f"{table.group}: {name}"


def test_all_names_are_there_and_every_public_name_is_listed() -> None:
    for module in imported_modules():
        listed = getattr(module, "__all__", None)
        if listed is None:
            continue
        assert len(set(listed)) == len(listed), module.__name__
        assert [name for name in listed if not hasattr(module, name)] == [], module.__name__
        if hasattr(module, "__path__"):
            assert public_names(module) - set(listed) == set(), f"{module.__name__}: offered, but not in __all__"


def public_names(module: ModuleType) -> set[str]:
    """What a package's ``__init__`` takes from its own modules or defines, without a leading underscore."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(module.__name__ + "."):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


def test_the_root_offers_about_a_dozen_names_in_order() -> None:
    assert list(srgan.__all__) == sorted(srgan.__all__, key=lambda name: (not name[0].isupper(), name))
    assert 6 <= len(srgan.__all__) <= 20
    assert set(srgan.__all__) <= set(dir(srgan))


def test_the_version_has_one_source(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]

    assert srgan.__version__ == importlib.metadata.version("srgan")
    assert srgan.__version__ == project.get("version", srgan.__version__)


def test_every_layer_of_tests_is_run(root: Path) -> None:
    options = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    layers = {f"tests/{path.relative_to(root / 'tests').parts[0]}" for path in (root / "tests").glob("*/**/test_*.py")}

    assert set(options["testpaths"]) == layers


def test_no_public_function_takes_more_than_twelve_parameters() -> None:
    """Options that belong together come as one value, or as keywords of one described kind."""
    found = {}
    for module in imported_modules():
        for name, value in vars(module).items():
            public = not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
            if not public or module.__name__.startswith("srgan.cli") or not callable(value):
                continue
            methods = [value.__init__] if inspect.isclass(value) and not dataclasses.is_dataclass(value) else []
            for function in [value] if inspect.isfunction(value) else methods:
                count = len(inspect.signature(function).parameters.keys() - {"self"})
                if count > 12 and not issubclass_of_model(value):
                    found[f"{module.__name__}.{name}"] = count
    assert found == {}


def issubclass_of_model(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseModel)
