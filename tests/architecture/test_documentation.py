"""The documentation names what is there, and everything that is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

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
