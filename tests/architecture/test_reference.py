"""The generated reference says what the code says now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import srgan
from srgan.config import list_keys
from srgan.settings import Settings


@pytest.fixture(scope="module")
def generate(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", root / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "config.md", "python.md"])
def test_the_page_is_what_the_code_gives(name: str, generate: ModuleType, root: Path) -> None:
    written = (root / "docs" / "reference" / name).read_text("utf-8")
    assert written == generate.pages()[name], "the code has changed: run `make docs`"


def test_there_is_no_page_that_nobody_writes(generate: ModuleType, root: Path) -> None:
    measured = {"conformance.md"}  # written by the suite, from runs
    assert {path.name for path in (root / "docs" / "reference").iterdir()} == set(generate.pages()) | measured


def test_every_command_key_and_public_name_has_its_place(generate: ModuleType) -> None:
    pages = generate.pages()
    for command in ("upscale", "batch-process", "models list", "models show", "bench", "config init", "train"):
        assert f"\n## srgan {command}\n" in pages["cli.md"]
    for key, _ in list_keys(Settings):
        assert f"| `{key}` |" in pages["config.md"]
    for name in srgan.__all__:
        if not name.startswith("__"):
            assert re.search(rf"^## {name}$|^\| `{name}` \|", pages["python.md"], re.MULTILINE), name


def test_no_page_shows_where_or_how_it_was_made(generate: ModuleType, root: Path) -> None:
    for text in generate.pages().values():
        assert str(root) not in text
        assert "setting:" not in text
        assert " object at 0x" not in text


def test_signatures_and_fields_read_as_they_were_written(generate: ModuleType) -> None:
    page = generate.pages()["python.md"]
    assert "Bundle.open(path: str | os.PathLike[str]) -> Bundle" in page
    assert "    overwrite: bool = False,\n" in page
    assert "- `max_pixels: int = 250000000`: Largest width times height." in page
    assert "| `CannotWrite` | The output could not be written. | 7 |" in page
