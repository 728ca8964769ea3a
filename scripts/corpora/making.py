"""Making a set: pictures of packages, sorted, put on grounds and reduced; and what the manifest says of them."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

from PIL import Image, ImageCms, ImageOps
from scripts.corpora import lettering
from scripts.corpora.licences import Licences
from scripts.corpora.listing import Corpus, Package, Part, PictureSet
from scripts.corpora.measures import BLANK, LOST, PACKED, SOFT, Seen, jpeg_quality, softness, spread
from scripts.corpora.packages import digest, unpacked
from scripts.corpora.pages import page
from scripts.corpora.vectors import name_number, on_ground, render

from srgan.atomic import write_whole
from srgan.errors import CannotWrite, InvalidDataset

FORMAT = 1
"""Of the manifest; docs/reference/corpus.md."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp"})
HALVINGS = 3
"""How often a soft picture is halved before it is given up."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Original:
    """A file of a package."""

    package: str
    path: str
    """Within the package."""
    file: Path
    licence: str
    author: str
    side: int
    """Longer side that it is rendered at, if it is a vector drawing."""


@dataclass(frozen=True)
class Entry:
    """A picture of a set, as the manifest has it."""

    file: str
    package: str
    version: str
    path: str
    licence: str
    author: str
    original_size: tuple[int, int]
    size: tuple[int, int]
    sha256: str


@dataclass
class Made:
    """What became of a set."""

    pictures: dict[str, list[Entry]] = field(default_factory=dict)
    """By folder: the set, and with a share to judge by, NAME-val."""
    left_out: Counter[str] = field(default_factory=Counter)
    packages: dict[str, Package] = field(default_factory=dict)


def make(name: str, corpus: Corpus, target: Path, cache: Path, seen: Seen, say: Say) -> Made:
    """Make the set ``name`` below ``target``: a folder, or two, and a manifest beside each.

    Pictures that are in ``seen`` already are left out, and all that are taken are added to it. Raises `CannotWrite`
    when a folder is there already, and `InvalidDataset` when a package cannot be had.
    """
    wanted = corpus.sets[name]
    folders = [name, f"{name}-val"] if wanted.judge else [name]
    for folder in folders:
        if (target / folder).exists() or (target / f"{folder}.json").exists():
            raise CannotWrite(f"{target / folder} is there already; take it away first, or make the set elsewhere")
    work = {folder: target / f".{folder}.partial" for folder in folders}
    for path in work.values():
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
    made = Made({folder: [] for folder in folders})
    for part in wanted.parts:
        made.packages[part.package] = corpus.packages[part.package]
    pictures = _drawn(wanted, corpus, cache) if wanted.kind == "pages" else _taken(wanted, corpus, cache, made, say)
    for original, size, picture in pictures:
        if known := seen.twin(picture):
            made.left_out["the same as another"] += 1
            say(f"left out: {original.package}: {original.path}: the same as {known}")
            continue
        folder = folders[-1] if _share(original) < wanted.judge else name
        entry = _written(original, size, picture, work[folder], made)
        seen.add(f"{folder}/{entry.file}", picture)
        made.pictures[folder].append(entry)
    for folder in folders:
        work[folder].rename(target / folder)
        write_whole(target / f"{folder}.json", _manifest(folder, name, wanted, made).encode())
    return made


def originals(part: Part, package: Package, cache: Path) -> list[Original]:
    """The files that ``part`` names, in the order of their paths; those of each folder by a digest if it asks for some.

    Raises `InvalidDataset` when there are none.
    """
    folder = unpacked(part.package, package, cache)
    licences = Licences(part.package, package, folder)
    found: dict[str, list[str]] = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        path = file.relative_to(folder).as_posix()
        if _named(path, part.files) and not _named(path, part.without):
            found.setdefault(path.rpartition("/")[0], []).append(path)
    if part.each:
        for key, paths in found.items():
            ordered = sorted(paths, key=lambda path: (name_number(Path(path)), path))
            found[key] = ordered[part.after : part.after + part.each]
    if not any(found.values()):
        raise InvalidDataset(f"{part.package}: no file fits {', '.join(part.files)}")
    return [
        Original(part.package, path, folder / path, (licence := licences.of(path)).name, licence.author, part.side)
        for paths in found.values()
        for path in paths
    ]


def _named(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


_Picture = tuple[Original, tuple[int, int], Image.Image]


def _taken(wanted: PictureSet, corpus: Corpus, cache: Path, made: Made, say: Say) -> Iterator[_Picture]:
    """The pictures of packages that are worth it, each with the size of its original."""
    for part in wanted.parts:
        for original in originals(part, corpus.packages[part.package], cache):
            try:
                size, picture = _opened(original, wanted)
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                size, picture = (0, 0), f"cannot be read: {error}"
            if isinstance(picture, str):
                made.left_out[picture.partition(":")[0]] += 1
                say(f"left out: {original.package}: {original.path}: {picture}")
            else:
                yield original, size, picture


def _opened(original: Original, wanted: PictureSet) -> tuple[tuple[int, int], Image.Image | str]:
    """The size of the original and the picture, or why it is left out."""
    if wanted.kind == "vectors":
        rendered = render(original.file, original.side)
        if isinstance(rendered, str):
            return (0, 0), rendered
        return rendered.size, _sorted(rendered, 100, wanted)
    with Image.open(original.file) as opened:
        size, quality = opened.size, jpeg_quality(opened)
        if min(size) < wanted.smallest:
            return size, "too small"
        picture = ImageOps.exif_transpose(_in_srgb(opened))
    if picture.has_transparency_data:
        inside = picture.convert("RGBA").getchannel("A").getbbox()
        picture = picture.crop(inside) if inside else picture
    return size, _sorted(on_ground(picture, name_number(original.file)), quality, wanted)


def _sorted(picture: Image.Image, quality: int, wanted: PictureSet) -> Image.Image | str:
    """``picture``, reduced as far as its softness and its JPEG ask for; or why it is left out."""
    if quality < LOST:
        return "packed too hard"
    if min(picture.size) < wanted.smallest:
        return "too small"
    if spread(picture) < BLANK:
        return "nearly empty"
    if wanted.kind == "vectors":
        return picture
    for count in range(HALVINGS + 1):
        packed, soft = count == 0 and quality < PACKED, softness(picture) > SOFT
        if not packed and not soft:
            break
        if count == HALVINGS or min(picture.size) // 2 < wanted.smallest:
            return "soft" if soft else "packed too hard"
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    if max(picture.size) > wanted.largest:
        ratio = wanted.largest / max(picture.size)
        size = round(picture.width * ratio), round(picture.height * ratio)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return picture if min(picture.size) >= wanted.smallest else "too small"


def _in_srgb(picture: Image.Image) -> Image.Image:
    """``picture`` with 8 bits in the colours of sRGB; its transparency stays."""
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    profile = picture.info.get("icc_profile")
    turned = picture.convert(mode)
    if not profile or picture.mode not in {"RGB", "RGBA"}:
        return turned
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(turned, source, ImageCms.createProfile("sRGB"), outputMode=mode) or turned
    except ImageCms.PyCMSError:
        return turned  # a damaged profile: without one, sRGB is meant


def _drawn(wanted: PictureSet, corpus: Corpus, cache: Path) -> Iterator[_Picture]:
    """Pages with the fonts of the packages. The licence is that of a new work; the fonts are in the manifest."""
    files = [
        original.file
        for part in wanted.parts
        for original in originals(part, corpus.packages[part.package], cache)
        if original.file.suffix in lettering.SUFFIXES
    ]
    faces = lettering.faces(files)
    for number in range(wanted.pages):
        picture = page(number, wanted.seed, faces)
        path = f"page {number} of book {wanted.seed}"
        yield Original("drawn", path, Path(f"page-{number:04}"), "CC0-1.0", "", 0), picture.size, picture


def _share(original: Original) -> float:
    """A number from 0 to 1 that follows from what the original is called: the split is the same everywhere."""
    return int.from_bytes(sha256(f"{original.package}/{original.path}".encode()).digest()[:8], "big") / 2**64


def _written(original: Original, size: tuple[int, int], picture: Image.Image, folder: Path, made: Made) -> Entry:
    mark = sha256(f"{original.package}/{original.path}".encode()).hexdigest()[:8]
    stem = re.sub(r"[^A-Za-z0-9]+", "-", original.file.stem).strip("-")[:40]
    target = folder / f"{original.package}-{stem}-{mark}.png"
    picture.save(target, compress_level=4)
    package = made.packages.get(original.package)
    return Entry(
        file=target.name,
        package=original.package,
        version=package.version if package else "",
        path=original.path,
        licence=original.licence,
        author=original.author,
        original_size=size,
        size=picture.size,
        sha256=digest(target),
    )


def _manifest(folder: str, name: str, wanted: PictureSet, made: Made) -> str:
    entries = made.pictures[folder]
    content = {
        "format": FORMAT,
        "set": folder,
        "about": wanted.about,
        "made_by": f"scripts/corpus create {name}",
        "pictures": len(entries),
        "megapixels": round(sum(e.size[0] * e.size[1] for e in entries) / 1e6, 1),
        "licences": dict(Counter(e.licence for e in entries).most_common()),
        "left_out": dict(made.left_out.most_common()),
        "packages": {key: package.model_dump() for key, package in made.packages.items()},
        "entries": [asdict(entry) for entry in entries],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
