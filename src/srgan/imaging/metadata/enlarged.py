"""The metadata of an enlarged picture, and of one that is to say nothing; texts as PNG and JPEG have them.

Resolution in pixels per inch is kept, so that a picture that is enlarged four times prints four times as wide: pixels
per inch say how finely to print, and nobody who enlarges wants the same print of finer dots without having said so.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from srgan.imaging.metadata.descriptions import enlarged
from srgan.imaging.metadata.exif import bare_exif, description_of, resized_exif, with_description
from srgan.imaging.metadata.georeference import enlarged_tags
from srgan.imaging.metadata.iptc import iptc_of_photoshop
from srgan.imaging.metadata.provenance import Provenance, history_in, with_provenance
from srgan.imaging.metadata.xmp import parse, resized_xmp
from srgan.imaging.picture import Density, Picture

logger = logging.getLogger(__name__)

MOST_TEXTS, MOST_TEXT_BYTES = 1024, 1 << 23
"""Texts that a picture keeps, and their bytes together in UTF-8. Workflows of image generators run to megabytes."""
_LEAST_DENSITY, _MOST_DENSITY = 1e-9, 4e9
_COMMENT = "Comment"
_MOST_COMMENT = 65_533
"""Bytes of one comment of JPEG."""
_RAW_PROFILE = "Raw profile type "
_DROPPED = re.compile(r"Thumb::|Raw profile type ", re.IGNORECASE)
"""Keywords of texts that describe a file that no longer is, or that hold what stands elsewhere."""


def finished(like: Picture, size: tuple[int, int], provenance: Provenance | None) -> Picture:
    """``like`` with the metadata of the picture of ``size`` (height, width) that was made from it; pixels as given.

    EXIF, XMP, descriptions of science and georeference that state a size or a scale state the new one, are upright and
    hold no thumbnail of the old picture; a record of ``provenance`` follows those in XMP, if it is given. Resolution,
    profile, IPTC, texts, GPS, maker notes and everything else are byte for byte as they were. What was in the file and
    could not be kept is said in one warning.
    """
    before = like.height, like.width
    across, down = size[1] / like.width, size[0] / like.height
    name = like.name or "the picture"
    exif = like.exif and resized_exif(like.exif, size, before)
    lost = list(like.lost)
    if exif and (description := description_of(exif)) is not None:
        text, gone = enlarged(description, before, size, like.bit_depth)
        exif = exif if text == description else with_description(exif, text)
        lost += gone
    xmp = like.xmp and resized_xmp(like.xmp, size, before)
    if xmp and parse(xmp) is None:
        lack = "" if provenance is None else "no record of the model was written: "
        logger.warning("%s: %sthe XMP packet cannot be parsed and is kept unchanged", name, lack)
    elif provenance is not None:
        xmp = with_provenance(xmp or None, provenance)
    density = like.density and _density(like.density, across, down, ratio=like.format != "TIFF")
    if density and not all(_LEAST_DENSITY < value < _MOST_DENSITY for value in density[:2]):
        density = None
        lost.append("the scale, which is beyond what TIFF can state")
    if lost:
        logger.warning("%s: not in the enlarged picture: %s", name, "; ".join(lost))
    return replace(
        like,
        exif=exif,
        xmp=xmp,
        tags=enlarged_tags(like.tags, across, down),
        density=density,
        lost=(),
    )


def _density(density: Density, across: float, down: float, *, ratio: bool) -> Density:
    """Where the picture measures something, as many more pixels stand in a length as there are; a mere ratio stays
    one of small numbers."""
    if ratio:
        across, down = 1.0, down / across
    return density._replace(x=density.x * across, y=density.y * down)


def strip(like: Picture) -> Picture:
    """``like`` without EXIF, XMP, IPTC, texts and georeference. What is needed to show it right stays: profile,
    resolution, depth."""
    return replace(like, exif=None, xmp=None, iptc=None, text=(), tags={})


def provenance_of(picture: Picture) -> list[Provenance]:
    """How ``picture`` was enlarged, once or several times, the earliest first; the latest 64 records."""
    return history_in(picture.xmp)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What stood in the texts of a PNG picture."""

    text: tuple[tuple[str, str], ...] = ()
    """As in `Picture.text`."""
    exif: bytes | None = None
    """EXIF that stood as text, as a bare TIFF stream."""
    xmp: bytes | None = None
    iptc: bytes | None = None
    lost: list[str] = field(default_factory=list)
    """Keywords of the texts that were beyond the limits."""


def sorted_texts(pairs: Iterable[tuple[str, str]]) -> Texts:
    """Sort the texts of a PNG picture, keyword and text in the order of the file.

    XMP (``XML:com.adobe.xmp``) and the profiles that ImageMagick writes as hexadecimal text become what they hold;
    descriptions of thumbnails (``Thumb::``) go, as they describe another file; all others are kept, up to
    `MOST_TEXTS` and `MOST_TEXT_BYTES`, with keywords made valid by `keyword`.
    """
    text: list[tuple[str, str]] = []
    found: dict[str, bytes | None] = {"exif": None, "xmp": None, "iptc": None}
    lost: list[str] = []
    left = MOST_TEXT_BYTES
    for key, value in pairs:
        if key == "XML:com.adobe.xmp":
            found["xmp"] = found["xmp"] or value.encode(errors="replace")
        elif key.startswith(_RAW_PROFILE) and (profile := raw_profile(value)) is not None:
            kind, data = _of_profile(key.removeprefix(_RAW_PROFILE).strip().lower(), profile)
            if kind in found:
                found[kind] = found[kind] or data
        elif not _DROPPED.match(key) and (name := keyword(key)):
            value = value.replace("\0", "")
            size = len(name) + len(value.encode(errors="replace"))
            if size > left or len(text) >= MOST_TEXTS:
                lost.append(name)
                continue
            left -= size
            text.append((name, value))
    if lost:
        logger.warning("%d texts of the picture exceed the limits and are left out, the first: %s", len(lost), lost[0])
    return Texts(text=tuple(text), lost=lost[:8], **found)


def keyword(text: str) -> str:
    """``text`` as a keyword of PNG: at most 79 printable characters of Latin-1, no spaces outside or two together."""
    latin = "".join(letter if " " <= letter <= "~" or "\xa1" <= letter <= "\xff" else " " for letter in text)
    return " ".join(latin.split())[:79].strip()


def raw_profile(text: str) -> bytes | None:
    """The bytes of a profile that ImageMagick has written as text: name, length and hexadecimal digits on lines of
    their own. None when it is something else."""
    parts = text.split(maxsplit=2)
    if len(parts) < 3 or not (parts[1].isascii() and parts[1].isdigit()) or len(parts[1]) > 9:
        return None
    try:
        data = bytes.fromhex(parts[2])
    except ValueError:
        return None
    return data if len(data) == int(parts[1]) else None


def _of_profile(name: str, data: bytes) -> tuple[str, bytes | None]:
    """Which of EXIF, XMP and IPTC a profile is. ``APP1`` may be either of the first two."""
    if name in ("exif", "app1") and (exif := bare_exif(data)):
        return "exif", exif
    if name in ("xmp", "app1"):
        return "xmp", data.removeprefix(b"http://ns.adobe.com/xap/1.0/\0") or None
    if name == "iptc":
        return "iptc", iptc_of_photoshop(data) or (data if data[:1] == b"\x1c" else None)
    return "", None


def jpeg_comments(text: Iterable[tuple[str, str]]) -> tuple[list[bytes], list[str]]:
    """The comments that JPEG can hold of a picture's texts, in UTF-8, each at most 65,533 bytes; and the keywords of
    the texts that it cannot."""
    comments: list[bytes] = []
    lost: list[str] = []
    for key, value in text:
        data = value.encode(errors="replace")
        if key == _COMMENT and len(data) <= _MOST_COMMENT:
            comments.append(data)
        else:
            lost.append(key)
    return comments, lost


def comment_text(comment: bytes) -> str:
    """The text of a comment of JPEG or GIF: UTF-8 if it is that, else Latin-1; without NULs."""
    try:
        text = comment.decode()
    except UnicodeDecodeError:
        text = comment.decode("latin-1")
    return text.replace("\0", "")
