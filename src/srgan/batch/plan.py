"""Which files are worked on, and what their outputs are called."""

from __future__ import annotations

import os
import string
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from srgan.batch.make import Make
from srgan.batch.report import FileOutcome, State
from srgan.errors import InvalidConfig

NAME_FIELDS = {
    "stem": "name of the input without its suffix",
    "suffix": "suffix of the output, with its dot",
    "input": "suffix of the input, without its dot",
    "parent": "folder of the input in the input folder; a template that has it says the whole path",
    "scale": "enlargement, such as 4",
    "model": "name of the model",
    "width": "width of the output in pixels",
    "height": "height of the output in pixels",
}
"""What a template for names may hold in braces."""

_MOST_BYTES = 255
"""Longest name that file systems take, in bytes."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One input and where it goes."""

    source: Path
    target: Path
    name: str
    """Path of the input in the input folder, with forward slashes."""
    target_name: str
    """Path of the output in the output folder, with forward slashes."""
    format: str
    """Format of the output."""
    replace: bool = False
    """Whether an output that exists is replaced."""
    reason: str = ""
    """Why it is made again."""

    def outcome(self, state: State, reason: str = "", **more: Any) -> FileOutcome:
        """What became of it."""
        return FileOutcome(source=self.name, target=self.target_name, state=state, reason=reason, **more)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which files of a folder are inputs.

    Those with one of ``suffixes``, or with ``include`` those whose name or path in the folder matches one of these
    patterns; less those that match one of ``exclude``, which also keeps out of folders. Hidden ones (a dot in front)
    are left out, and so are ``without`` and what lies in it, and folders behind symbolic links.
    """

    suffixes: Collection[str]
    recursive: bool = True
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    without: Path | None = None

    def find(self, top: Path, unreadable: Callable[[str, str], None]) -> Iterator[str]:
        """Paths in ``top``, with forward slashes. ``unreadable`` is told of folders that cannot be listed, and why."""

        def tell(error: OSError) -> None:
            name = Path(error.filename).relative_to(top).as_posix()
            if isinstance(error, FileNotFoundError) and name != ".":
                return  # it went away while we were looking
            unreadable(name, error.strerror or str(error))

        without = None if self.without is None else os.path.realpath(self.without)
        for folder, folders, files in os.walk(top, onerror=tell):
            here = Path(folder)
            relative = here.relative_to(top)
            folders[:] = sorted(
                name
                for name in folders
                if self.recursive
                and name[0] != "."
                and not _matches(relative / name, self.exclude)
                and os.path.realpath(here / name) != without
            )
            for file in files:
                path = relative / file
                if self._wants(path):
                    yield path.as_posix()

    def takes(self, top: Path, path: Path) -> bool:
        """Whether the file at ``path``, without links in it, is an input when ``top`` is the folder."""
        real = Path(os.path.realpath(top))
        return path.is_file() and path.is_relative_to(real) and self._wants(path.relative_to(real))

    def _wants(self, path: Path) -> bool:
        if path.name[0] == "." or _matches(path, self.exclude):
            return False
        if self.include:
            return _matches(path, self.include)
        return path.suffix.lower() in self.suffixes


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    whole = path.as_posix()
    return any(fnmatch(whole, pattern.rstrip("/")) or fnmatch(path.name, pattern.rstrip("/")) for pattern in patterns)


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How outputs are called: ``template``, or without one like the input, with the suffix of the output's format.

    ``template`` holds `NAME_FIELDS` in braces. A suffix of it that says a format decides the format; without one, the
    output's is added. ``format`` is what was asked for; without it, each output has that which ``make`` has for its
    input. ``make`` measures an input only when the template names what is not known otherwise. With ``in_pixels`` there
    is no enlargement that could be named. Raises `InvalidConfig` for a template that cannot be used.
    """

    make: Make
    template: str | None = None
    format: str | None = None
    in_pixels: bool = False
    named: frozenset[str] = field(init=False, default=frozenset())
    """The fields that the template names."""

    def __post_init__(self) -> None:
        if self.template is None:
            return
        object.__setattr__(self, "named", frozenset(_fields(self.template)))
        if "scale" in self.named and self.in_pixels:
            raise InvalidConfig("the placeholder {scale} cannot be used with a size in pixels; use {width} or {height}")
        literal = self._literal_format()
        if literal and self.format and literal != self.format:
            raise InvalidConfig(
                f"the name template {self.template!r} ends in {literal}, but the format is {self.format}"
            )
        # What no input's name can mend is refused now.
        self.check("", self._filled(PurePosixPath("x.x"), ".x", "x", (1, 1, 1.0)))

    def output(self, name: str, source: Path) -> tuple[str, str]:
        """Path of the output in the output folder, and its format, for the input ``name``, which is at ``source``.

        Raises `InvalidConfig` when the name that comes out cannot be used, and what `Make.measure` raises.
        """
        path = PurePosixPath(name)
        format = self.format or self._literal_format() or self.make.format_for(path, source)
        suffix = path.suffix if self.make.format_named(path) == format else self.make.suffix_of(format)
        if self.template is None:
            return path.with_suffix(suffix).as_posix(), format
        parent = "" if path.parent == PurePosixPath() else path.parent.as_posix()
        scale = None if self.in_pixels else self.make.scale
        asked = self.named & {"width", "height"} or ("scale" in self.named and scale is None)
        measured = self.make.measure(source) if asked else (0, 0, scale or 0)
        text = self._filled(path, suffix, parent, measured)
        if "parent" not in self.named:
            text = f"{parent}/{text}" if parent else text
        elif not parent:
            text = text.replace("//", "/").lstrip("/")
        self.check(name, text)
        return text, format

    def check(self, name: str, text: str) -> None:
        """Whether ``text`` is a path that stays in the output folder."""
        parts = text.split("/")
        unsafe = os.path.isabs(text) or any(part in ("", ".", "..") or "\0" in part for part in parts)
        if os.sep == "\\" and (set(text) & set('\\:*?"<>|')):
            unsafe = True
        if unsafe or parts[0].lower() == ".srgan":
            fault = f"the output's name {text!r} does not lie in the output folder"
        elif any(len(os.fsencode(part)) > _MOST_BYTES for part in parts):
            fault = f"the output's name is longer than {_MOST_BYTES} bytes"
        else:
            return
        raise InvalidConfig(f"{name or self.template}: {fault}")

    def _filled(self, path: PurePosixPath, suffix: str, parent: str, measured: tuple[int, int, float]) -> str:
        template = self.template or ""
        if not template.endswith("{suffix}") and not self._literal_format():
            template += "{suffix}"
        values = {"stem": path.stem, "input": path.suffix[1:], "suffix": suffix, "parent": parent}
        width, height, scale = measured
        name = self.make.identity.name if "model" in self.named else ""
        return template.format(**values, scale=f"{scale:g}", model=name, width=width, height=height)

    def _literal_format(self) -> str | None:
        """The format that the template's own suffix says."""
        return self.make.format_named(PurePosixPath(self.template)) if self.template else None


def _fields(template: str) -> Iterator[str]:
    """The names in braces; anything cleverer than a name is refused, since templates may come from a file."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise InvalidConfig(f"the name template {template!r} is invalid: {error}") from error
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in NAME_FIELDS or spec or conversion:
            there = ", ".join(f"{{{known}}}" for known in NAME_FIELDS)
            held = name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            raise InvalidConfig(f"the name template {template!r} has an unknown placeholder {{{held}}}; use {there}")
        yield name


def numbered(name: str, number: int) -> str:
    """``a/b.png`` as ``a/b (2).png``."""
    path = PurePosixPath(name)
    return path.with_name(f"{path.stem} ({number}){path.suffix}").as_posix()


def same_name_key(name: str, *, any_case: bool) -> str:
    """What two paths have in common that mean one file; with ``any_case``, where capitals make no difference."""
    return unicodedata.normalize("NFC", name).casefold() if any_case else name
