"""Who made a file of a Debian package, and under which licence: its copyright file, where machines can read that.

https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from scripts.corpora.listing import Package


@dataclass(frozen=True)
class Licence:
    """What is known of a file: a short name, and who holds the rights; empty where nobody says it."""

    name: str
    author: str


@dataclass(frozen=True)
class _Paragraph:
    patterns: tuple[str, ...]
    licence: Licence


class Licences:
    """The licences of the files of one package, unpacked in ``folder``."""

    def __init__(self, name: str, package: Package, folder: Path) -> None:
        self._usual = Licence(package.licence, package.author)
        text = folder / "usr" / "share" / "doc" / name / "copyright"
        self._paragraphs = list(_paragraphs(text.read_text("utf-8", "replace"))) if text.is_file() else []

    def of(self, path: str) -> Licence:
        """The licence of the file at ``path`` within the package.

        Patterns are about the source, where folders have other parents, so that a pattern counts when its end fits.
        Without one that names the file, or its folder, it is that of the list of packages.
        """
        for paragraph in reversed(self._paragraphs):  # the last one that fits is meant
            if any(_fits(path, pattern) for pattern in paragraph.patterns):
                return paragraph.licence
        return self._usual


def _fits(path: str, pattern: str) -> bool:
    parts = [part for part in pattern.strip("/").split("/") if part != "."]
    while parts and set("".join(parts)) - set("*?"):
        if fnmatchcase(path, "*/" + "/".join(parts)) and (len(parts) > 1 or not set(parts[0]) & set("*?")):
            return True
        parts = parts[1:]
    return False


def _paragraphs(text: str) -> Iterator[_Paragraph]:
    """Those that are about files. None of a text that is not in the format."""
    if not re.match(r"format(-specification)?:", text.lstrip(), re.IGNORECASE):
        return
    for block in re.split(r"\n\s*\n(?=\S)", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if found := re.match(r"([A-Za-z-]+):(.*)", line):
                key = found[1].lower()
                fields[key] = found[2]
            elif key and not line.startswith("#"):
                fields[key] += "\n" + line
        if "files" in fields and "license" in fields:
            name = fields["license"].strip().splitlines()[0] if fields["license"].strip() else ""
            author = "; ".join(line.strip() for line in fields.get("copyright", "").splitlines() if line.strip(" ."))
            yield _Paragraph(tuple(fields["files"].split()), Licence(name, author))
