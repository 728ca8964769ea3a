"""The documentation names what is there, and everything that is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import srgan
from srgan.cli import app
from srgan.training.config import TrainConfig

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`]+`", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")


def tracked(root: Path, *patterns: str) -> list[Path]:
    """The project's own files, or every file but those of tools where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return sorted(path for path in (root / line for line in set(listed.stdout.splitlines())) if path.is_file())


def prose(path: Path) -> str:
    """The text of a Markdown file without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The anchors that a Markdown file's headings make."""
    titles = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_link_leads_somewhere(root: Path) -> None:
    dead = []
    documents = tracked(root, "*.md")
    for document in documents:
        for target in LINK.findall(prose(document)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (document.parent / name).resolve() if name else document
            if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
                dead.append(f"{document.relative_to(root)}: {target}")

    assert len(documents) > 5
    assert dead == []


def test_every_page_can_be_reached_from_the_readme(root: Path) -> None:
    reached: set[Path] = set()
    ahead = [root / "README.md"]
    while ahead:
        document = ahead.pop()
        if document in reached:
            continue
        reached.add(document)
        for target in LINK.findall(prose(document)):
            path = (document.parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_file():
                ahead.append(path)

    assert [str(page.relative_to(root)) for page in tracked(root, "docs/*.md") if page not in reached] == []


def test_every_make_target_that_is_named_exists(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    named = {
        (str(document.relative_to(root)), target)
        for document in tracked(root, "*.md")
        for target in MAKE.findall(
            " ".join(re.findall(r"`[^`]+`|^```.*?^```", document.read_text("utf-8"), re.M | re.S))
        )
    }

    assert {"demo", "test"} <= {target for document, target in named if document == "README.md"}
    assert {(document, target) for document, target in named if target not in targets} == set()


def test_every_make_target_says_what_it_does(root: Path) -> None:
    done = subprocess.run(["make", "--no-print-directory"], cwd=root, capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines()}

    assert listed == set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text("utf-8"), flags=re.MULTILINE))


def blocks(root: Path, language: str) -> Iterator[tuple[str, str]]:
    """Every code block in that language, with the document it stands in."""
    for document in tracked(root, "*.md"):
        for block in re.findall(rf"^```{language}\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            yield str(document.relative_to(root)), block


def commands(root: Path) -> list[tuple[str, str]]:
    """Every `srgan` command in a shell block or in backticks, with the document it stands in."""
    found = [
        (document, re.split(r" [#|>]", line)[0])
        for document, block in blocks(root, "sh")
        for line in block.splitlines()
        if line.startswith("srgan ")
    ]
    for document in tracked(root, "*.md"):
        found += [(str(document.relative_to(root)), line) for line in re.findall(r"`(srgan [^`]+)`", prose(document))]
    return found


@cache
def srgan_command() -> Any:
    return get_command(app)


def complaint(line: str) -> str | None:
    """What the command line says about the words of ``line``; nothing is carried out. A bare command is only a name."""
    command, words = srgan_command(), shlex.split(line)[1:]
    while words and hasattr(command, "commands"):
        if words[0].startswith("-"):
            return None if words[0] in {name for p in command.params for name in p.opts} | {"--help"} else line
        if words[0] not in command.commands:
            return f"{line}: no such command"
        command = command.commands[words.pop(0)]
    if not words or words == ["--help"]:
        return None
    try:
        command.make_context("srgan", words)
    except Exception as error:
        return f"{line}: {error}"
    return None


def test_every_command_that_is_shown_can_be_given(root: Path) -> None:
    shown = commands(root)

    assert len(shown) > 20
    assert [(document, fault) for document, line in shown if (fault := complaint(line))] == []


@pytest.mark.parametrize(
    "line", ["srgan nothing", "srgan upscale a.png b.png --sharp", "srgan models lost", "srgan -x"]
)
def test_a_command_that_cannot_be_given_is_noticed(line: str) -> None:
    assert complaint(line)


def test_every_name_that_python_examples_use_is_public(root: Path) -> None:
    used = set()
    for _, block in blocks(root, "python"):
        if "import srgan" in block or "srgan." in block:
            used.update(re.findall(r"\bsrgan\.([a-zA-Z_]+)\b(?!\.)", block))

    assert "upscale" in used
    assert {name for name in used if not hasattr(srgan, name)} == set()


def test_every_training_file_that_is_shown_is_valid(root: Path) -> None:
    files = [tomllib.loads(block) for _, block in blocks(root, "toml") if "[data]" in block]

    assert files
    for file in files:
        TrainConfig.model_validate(file)


def test_the_architecture_names_every_room_and_no_other(root: Path) -> None:
    page = (root / "docs" / "explanation" / "architecture.md").read_text("utf-8")
    rooms = {
        path.stem
        for path in (root / "src" / "srgan").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    named = set(re.findall(r"^\| *[0-9]* *\| `([a-z]+)` \|", page, flags=re.MULTILINE))

    assert named | {"testing"} == rooms - {"__init__", "__main__"}
    assert "`testing`" in page
