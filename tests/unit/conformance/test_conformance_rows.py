"""Every kind of check passes an upscaler that does it right, and fails one that does that one thing wrong."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conformance import bench, reference
from conformance.bench import Job, Ran, Result, judge
from conformance.rows import MODULES, collected

ROWS = {row.id: row for row in collected()}
ONLY_AS_COMMANDS = ("batch.", "names.", "outputs.killed", "outputs.full-disk")
"""Rows that need a process, or a command for folders; see the tests of the bench and of the acceptance."""

NOT_IN_THE_REFERENCE = {
    "formats.bmp", "formats.ppm-8", "formats.ppm-16", "formats.pgm-8", "formats.pgm-16", "formats.avif", "formats.heic",
    "formats.jxl", "formats.tiff-pages", "formats.png-to-bmp", "colour.cmyk-to-png", "metadata.exif-tiff",
    "metadata.exif-jpeg-to-tiff", "metadata.tiff-text-bytes", "metadata.extended-xmp", "metadata.gain-map",
    "metadata.imagej-scale", "metadata.geotiff", "colour.png-gamma", "colour.png-code-points-p3",
    "colour.png-code-points-pq", "colour.avif-code-points", "formats.tiff-gray10", "formats.tiff-zstd",
    "hostile.damaged-jpeg",
}  # fmt: skip
"""What the little reference upscaler does not do; these rows fail it, which shows that they can."""

GOOD = sorted(id for id in ROWS if not id.startswith(ONLY_AS_COMMANDS) and id not in NOT_IN_THE_REFERENCE)

SEEN = {
    "alpha": ["alpha.present", "alpha.no-fringe", "alpha.webp", "alpha.premultiplied-tiff", "alpha.straight-tiff16",
              "alpha.nothing-shows", "alpha.sixteen-bit", "alpha.gray", "alpha.palette", "alpha.colour-key",
              "alpha.gray-key"],
    "backdrop": ["alpha.opaque-target"],
    "bright": ["depth.dark16-png", "depth.dark16-tiff", "depth.bright-dark-8bit", "formats.jpeg", "constant.gray"],
    "depth": ["formats.png-rgb16", "formats.png-interlaced16", "formats.tiff-16", "formats.tiff-float",
              "depth.png16-gradient", "depth.png16-gray-gradient", "depth.tiff16-gradient", "depth.float",
              "alpha.straight-tiff16", "alpha.sixteen-bit"],
    "drift": ["colour.p3-png", "colour.untagged", "colour.gray-gamma",
              "constant.red", "constant.white", "sizes.1x1", "depth.gray-png", "hostile.not-a-number"],
    "float": ["depth.float-range"],
    "forgiving": ["hostile.empty", "hostile.text", "hostile.header-only", "hostile.truncated-png",
                  "hostile.truncated-jpeg", "hostile.truncated-webp", "hostile.truncated-gif",
                  "hostile.truncated-tiff", "hostile.damaged-png", "hostile.bomb", "hostile.liar-png",
                  "hostile.liar-gif", "hostile.tiff-beyond", "hostile.svg", "hostile.script", "hostile.missing",
                  "hostile.folder"],
    "fringe": ["alpha.no-fringe", "alpha.no-leak", "alpha.webp", "alpha.premultiplied-tiff", "alpha.gray"],
    "gray": ["formats.png-gray8", "formats.png-gray16", "formats.jpeg-gray", "formats.tiff-gray16", "colour.gray-gamma",
             "depth.gray-png", "alpha.gray"],
    "half": ["formats.png-rgb8", "formats.jpeg", "formats.webp", "formats.tiff-8", "outputs.existing",
             "outputs.onto-input"],
    "lying": ["formats.png-rgb8", "outputs.unknown-suffix", "outputs.parent-is-file", "outputs.no-rights",
              "hostile.empty", "colour.broken-profile", "sizes.1x1", "limits.webp", "limits.jpeg"],
    "metadata": ["metadata.exif-jpeg", "metadata.exif-png", "metadata.exif-webp", "metadata.exif-jpeg-to-png",
                 "metadata.exif-jpeg-to-webp", "metadata.exif-size", "metadata.xmp-jpg", "metadata.xmp-png",
                 "metadata.xmp-webp", "metadata.xmp-tif", "metadata.xmp-jpg-to-png", "metadata.iptc-jpeg",
                 "metadata.iptc-tiff", "metadata.dpi-jpg", "metadata.dpi-png", "metadata.dpi-tif", "metadata.png-text"],
    "mirrored": ["geometry.not-mirrored", "geometry.no-shift", "formats.gif", "formats.png-palette"],
    "profile": ["colour.p3-png", "colour.p3-jpeg", "colour.p3-webp", "colour.adobe-png", "colour.adobe-tiff",
                "colour.prophoto-png16", "colour.prophoto-tiff16", "colour.linear-tiff16", "colour.gray-gamma",
                "colour.cmyk-jpeg", "colour.cmyk-tiff", "colour.p3-to-jpeg"],
    "random": ["geometry.same-twice"],
    "seams": ["seams.gradient", "seams.tiled-gradient"],
    "shifted": ["geometry.no-shift"],
    "size": ["sizes.1x1", "sizes.1x700", "sizes.31x33", "formats.tiff-planar"],
    "stale": ["metadata.exif-size"],
    "still": ["animation.gif", "animation.gif-transparent", "animation.png", "animation.png-transparent",
              "animation.webp", "animation.webp-transparent"],
    "timing": ["animation.gif", "animation.png", "animation.webp"],
    "trailing": ["hostile.polyglot"],
    "turned": [*(f"metadata.orientation-{n}-jpg" for n in range(2, 9)), "metadata.orientation-6-png",
               "metadata.orientation-6-webp", "metadata.orientation-6-tif"],
    "untidy": ["outputs.nothing-else", "hostile.input-survives"],
    "writing-on-input": ["outputs.onto-input", "formats.png-rgb8"],
}  # fmt: skip


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Judges a row on the reference with flaws, in this process, which is a hundred times faster."""

    def call(words: list[str], folder: Path, timeout: float, **limits: Any) -> Ran:
        said, start = io.StringIO(), time.monotonic()
        with contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of libraries about files that are meant to be odd
            code = reference.main(words[1:])
        return Ran(code, time.monotonic() - start, said.getvalue(), 0)

    def run(id: str, *flaws: str) -> Result:
        monkeypatch.setattr(bench, "call", call)
        command = " ".join(["reference {input} {output}", *flaws])
        return judge(ROWS[id], Job(command, command))

    return run


@pytest.mark.parametrize("id", GOOD)
def test_an_upscaler_that_does_it_right_passes(id: str, judged: Callable[..., Result]) -> None:
    result = judged(id)
    assert (result.status, result.told()) == ("PASS", result.told())
    assert result.measures, "a row that measures nothing says nothing"


@pytest.mark.parametrize("id", sorted(NOT_IN_THE_REFERENCE))
def test_an_upscaler_that_cannot_do_it_fails(id: str, judged: Callable[..., Result]) -> None:
    result = judged(id)
    assert result.status in ("FAIL", "NOT RUN"), result.told()
    assert result.told()


@pytest.mark.parametrize(("flaw", "id"), [(flaw, id) for flaw, ids in SEEN.items() for id in ids])
def test_a_flaw_is_seen(flaw: str, id: str, judged: Callable[..., Result]) -> None:
    result = judged(id, flaw)
    assert result.status == "FAIL", result.told()
    assert result.told(), "a failure says what was seen"


def test_every_flaw_of_the_reference_is_tried() -> None:
    assert set(SEEN) == set(reference.FLAWS)


def test_a_flaw_is_seen_by_the_rows_that_are_about_it_and_not_by_all(judged: Callable[..., Result]) -> None:
    for id in ("formats.png-rgb8", "depth.png16-gradient", "alpha.no-fringe", "metadata.exif-jpeg", "sizes.1x1"):
        assert judged(id, "profile").status == "PASS"
    for id in ("formats.png-rgb8", "colour.p3-png", "alpha.no-fringe", "sizes.1x1"):
        assert judged(id, "metadata").status == "PASS"


def test_every_row_says_what_it_is() -> None:
    assert len(ROWS) > 180
    assert {id.partition(".")[0] for id in ROWS} == {*MODULES, "sizes", "constant", "seams", "names", "limits"}
    for row in ROWS.values():
        assert row.title
        assert row.given
        assert row.why
        assert "\n" not in row.title + row.given


def test_without_a_command_for_folders_or_tiles_those_rows_are_not_run() -> None:
    for id in ("batch.mirrored", "seams.tiled-gradient"):
        result = judge(ROWS[id], Job("false {input} {output}"))
        assert result.status == "NOT RUN"
        assert "command was given" in result.reason
