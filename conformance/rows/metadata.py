"""What is written beside the pixels: kept, and corrected where the enlargement makes it wrong."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np

from conformance import files
from conformance.bench import Bench
from conformance.decode import Decoded, decode
from conformance.files import CAPTION, IPTC, XMP, chunk, jpeg_with, photoshop, pillow, png
from conformance.judge import same_picture
from conformance.pictures import scene, u8
from conformance.rows import row

WHY = "Date, camera, place and rights belong to a photograph; archives and agencies refuse pictures without."
CAMERA: dict[int, Any] = {0x829A: 1 / 250, 0x8827: 400, 0x9003: "2024:02:29 12:34:56", 0xA434: "Lens 50mm f/1.8"}
MAIN = {0x010F: "Conformance", 0x0110: "Model 7", 0x8298: "(c) Someone"}


def with_exif(bench: Bench, suffix: str, **options: Any) -> Any:
    """The scene as a file with EXIF, as cameras and editors write it."""
    data, source = files.exif(**options), bench.folder / f"in{suffix}"
    if suffix == ".png":
        return files.write(source, png(u8(scene()), extra=chunk(b"eXIf", data)))
    if suffix == ".jpg":
        pillow(source, scene(), quality=95)
        return files.write(source, jpeg_with(source.read_bytes(), (1, b"Exif\0\0" + data)))
    if suffix == ".tif":
        from PIL import Image

        held = Image.Exif()
        held.load(data)
        return pillow(source, scene(), exif=held)
    return pillow(source, scene(), exif=data, lossless=True)


def fields_kept(bench: Bench, out: Decoded) -> None:
    held = out.info["exif"]
    camera, place = held.get_ifd(0x8769), held.get_ifd(0x8825)
    lost = [f"{tag:#06x}" for tag, value in MAIN.items() if str(held.get(tag)).strip("\0 ") != value]
    for tag, value in CAMERA.items():
        seen = camera.get(tag)
        same = seen is not None and (
            str(seen).strip("\0 ") == value if isinstance(value, str) else abs(float(seen) - value) < 1e-6
        )
        lost += [] if same else [f"{tag:#06x}"]
    bench.expect("EXIF fields lost", ", ".join(lost) or "none", "none")
    right = [float(v) for v in place.get(2, ())] == [48, 51, 29.78] and str(place.get(3, "")).strip("\0") == "E"
    bench.expect("place kept", right, True)


def size_corrected(bench: Bench, out: Decoded) -> None:
    """The size in EXIF is absent, or that of the picture."""
    camera = out.info["exif"].get_ifd(0x8769)
    said = (camera.get(0xA002), camera.get(0xA003))
    right = said == (None, None) or said == out.size
    bench.expect("size in EXIF", "right or absent" if right else str(said), "right or absent")


def exif_row(id: str, title: str, suffix: str, target: str) -> None:
    @row(f"metadata.exif-{id}", f"EXIF is kept, place included: {title}", f"scene with EXIF and GPS, {title}", WHY)
    def check(bench: Bench) -> None:
        out = decode(bench.upscale(with_exif(bench, suffix), f"out{target}"))
        fields_kept(bench, out)


exif_row("jpeg", "JPEG", ".jpg", ".jpg")
exif_row("png", "PNG", ".png", ".png")
exif_row("webp", "WebP", ".webp", ".webp")
exif_row("tiff", "TIFF", ".tif", ".tif")
exif_row("jpeg-to-png", "JPEG to PNG", ".jpg", ".png")
exif_row("jpeg-to-webp", "JPEG to WebP", ".jpg", ".webp")
exif_row("jpeg-to-tiff", "JPEG to TIFF", ".jpg", ".tif")


@row("metadata.exif-size", "The size in EXIF is corrected", "JPEG with EXIF that says 64x48",
     "Archives sort and check by it.")  # fmt: skip
def exif_size(bench: Bench) -> None:
    out = decode(bench.upscale(with_exif(bench, ".jpg")))
    bench.expect("camera kept", out.info["exif"].get(0x0110) is not None, True)
    size_corrected(bench, out)


def turned(pixels: Any, orientation: int) -> Any:
    """What a viewer shows of stored ``pixels`` with that orientation."""
    steps = {
        1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2), 6: lambda p: p.transpose(1, 0, 2)[:, ::-1],
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2), 8: lambda p: p.transpose(1, 0, 2)[::-1],
    }  # fmt: skip
    return steps[orientation](pixels)


def orientation_row(orientation: int, suffix: str) -> None:
    @row(f"metadata.orientation-{orientation}{suffix.replace('.', '-')}",
         f"Orientation {orientation} is applied once ({suffix.lstrip('.')})",
         f"scene with orientation {orientation} in EXIF",
         "Phones store pictures on their side; turned twice or not at all, they lie.")  # fmt: skip
    def check(bench: Bench) -> None:
        out = decode(bench.upscale(with_exif(bench, suffix, orientation=orientation), f"out{suffix}"))
        left = int(out.info["exif"].get(0x0112, 1) or 1)
        bench.note("orientation left in the file", left)
        from dataclasses import replace

        shown = replace(out, pixels=turned(out.pixels, left if 1 <= left <= 8 else 1))
        same_picture(bench, shown, turned(u8(scene()) / 255, orientation), what="shown picture, mean difference")


for number in range(1, 9):
    orientation_row(number, ".jpg")
orientation_row(6, ".png")
orientation_row(6, ".webp")
orientation_row(6, ".tif")


def thumbnail_of(data: bytes | None) -> bytes | None:
    """The JPEG that an EXIF stream carries in its second directory."""
    if not data:
        return None
    data = data.removeprefix(b"Exif\0\0")
    order = "<" if data[:2] == b"II" else ">"
    try:
        at = struct.unpack_from(order + "I", data, 4)[0]
        count = struct.unpack_from(order + "H", data, at)[0]
        at = struct.unpack_from(order + "I", data, at + 2 + 12 * count)[0]
        if not at:
            return None
        tags = {}
        for index in range(struct.unpack_from(order + "H", data, at)[0]):
            tag, kind, _ = struct.unpack_from(order + "HHI", data, at + 2 + 12 * index)
            tags[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 10 + 12 * index)[0]
    except struct.error:
        return None
    start, length = tags.get(0x0201), tags.get(0x0202)
    return data[start : start + length] if start and length else None


@row("metadata.thumbnail", "No stale thumbnail", "JPEG with orientation 6 and a thumbnail on its side",
     "File managers show the thumbnail: an old one lies on its side, or shows another picture.")  # fmt: skip
def thumbnail(bench: Bench) -> None:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(u8(scene(32, 24))).save(held, "JPEG")
    out = decode(bench.upscale(with_exif(bench, ".jpg", orientation=6, thumbnail=held.getvalue())))
    bench.note("camera kept", out.info["exif"].get(0x0110) is not None)
    found = thumbnail_of(out.info["exif_bytes"])
    if found is None:
        bench.note("thumbnail", "none")
        return
    with Image.open(io.BytesIO(found)) as small:
        small_is_upright = small.height > small.width
    bench.expect("thumbnail stands as the picture does", small_is_upright == (out.size[1] > out.size[0]), True)


def xmp_in(out: Decoded) -> bytes:
    found = out.info.get("xmp") or out.info.get("XML:com.adobe.xmp") or b""
    older = str(out.info.get("Raw profile type xmp", "")).split()  # name, length, digits: how ImageMagick does it
    if not found and len(older) > 2:
        found = bytes.fromhex("".join(older[2:]))
    return found.encode() if isinstance(found, str) else bytes(found)


def xmp_row(suffix: str, target: str) -> None:
    ways = suffix if suffix == target else f"{suffix} to {target}"

    @row(f"metadata.xmp{suffix.replace('.', '-')}{'' if suffix == target else '-to' + target.replace('.', '-')}",
         f"XMP is kept ({ways.replace('.', '')})", "scene with an XMP packet: rating and label",
         "Ratings, labels, captions and the rights of agencies are in XMP.")  # fmt: skip
    def check(bench: Bench) -> None:
        source = bench.folder / f"in{suffix}"
        if suffix == ".png":
            text = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP
            files.write(source, png(u8(scene()), extra=chunk(b"iTXt", text)))
        elif suffix == ".jpg":
            pillow(source, scene(), quality=95)
            data = jpeg_with(source.read_bytes(), (1, b"http://ns.adobe.com/xap/1.0/\0" + XMP))
            files.write(source, data)
        elif suffix == ".tif":
            import tifffile

            tifffile.imwrite(source, u8(scene()), photometric="rgb", extratags=[(700, 1, len(XMP), XMP, True)])
        else:
            pillow(source, scene(), xmp=XMP, lossless=True)
        found = xmp_in(decode(bench.upscale(source, f"out{target}")))
        bench.expect("label kept", b"conformance-label" in found, True)
        bench.expect("rating kept", b"Rating" in found and b"4" in found, True)


for way in ((".jpg", ".jpg"), (".png", ".png"), (".webp", ".webp"), (".tif", ".tif"), (".jpg", ".png")):
    xmp_row(*way)


@row("metadata.iptc-jpeg", "IPTC is kept (jpg)", "JPEG with IPTC headline and caption", WHY)
def iptc_jpeg(bench: Bench) -> None:
    source = pillow(bench.folder / "in.jpg", scene(), quality=95)
    files.write(source, jpeg_with(source.read_bytes(), (13, photoshop(IPTC))))
    target = bench.upscale(source)
    decode(target)
    bench.expect("caption kept", CAPTION in target.read_bytes(), True)


@row("metadata.iptc-tiff", "IPTC is kept (tif)", "TIFF with IPTC headline and caption", WHY)
def iptc_tiff(bench: Bench) -> None:
    import tifffile

    source = bench.folder / "in.tif"
    tifffile.imwrite(source, u8(scene()), photometric="rgb", extratags=[(33723, 7, len(IPTC), IPTC, True)])
    target = bench.upscale(source)
    decode(target)
    bench.expect("caption kept", CAPTION in target.read_bytes(), True)


def dpi_row(suffix: str) -> None:
    @row(f"metadata.dpi{suffix.replace('.', '-')}", f"The resolution is kept ({suffix.lstrip('.')})",
         "scene at 300 dpi",
         "Layout programs place a picture by it. The same figure, or four times it, both make sense.")  # fmt: skip
    def check(bench: Bench) -> None:
        source = bench.folder / f"in{suffix}"
        if suffix == ".png":
            files.write(source, png(u8(scene()), extra=chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1))))
        else:
            pillow(source, scene(), dpi=(300, 300))
        found = decode(bench.upscale(source)).info.get("dpi")
        seen = tuple(round(float(v)) for v in found) if found else None
        right = seen in ((300, 300), (300 * bench.scale,) * 2)
        bench.expect("dpi", "kept" if right else str(seen), "kept")


for kind in (".jpg", ".png", ".tif"):
    dpi_row(kind)


@row("metadata.png-text", "Texts of a PNG are kept", "PNG with tEXt, zTXt and iTXt, some not Latin",
     "Title, author and the parameters of image generators stand there.")  # fmt: skip
def png_text(bench: Bench) -> None:
    wanted = {"Title": "A scene", "parameters": "steps: 20, seed: 7 " * 40, "Author": "Zoë Ångström 山田"}
    extra = chunk(b"tEXt", b"Title\0" + wanted["Title"].encode("latin-1"))
    extra += chunk(b"zTXt", b"parameters\0\0" + zlib.compress(wanted["parameters"].encode("latin-1")))
    extra += chunk(b"iTXt", b"Author\0\0\0\0\0" + wanted["Author"].encode())
    found = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(scene()), extra=extra)))).info
    lost = [name for name, text in wanted.items() if str(found.get(name)) != text]
    bench.expect("texts lost", ", ".join(lost) or "none", "none")


@row("metadata.tiff-text-bytes", "Texts of a TIFF keep their bytes", "TIFF with artist in UTF-8, rights in Latin-1",
     "TIFF calls its texts ASCII, and people write names in every alphabet; lost is lost.")  # fmt: skip
def tiff_text_bytes(bench: Bench) -> None:
    import tifffile

    texts = {315: "Jürgen Größe, 山田".encode(), 33432: "© Zoë".encode("latin-1")}
    source = bench.folder / "in.tif"
    tifffile.imwrite(source, u8(scene()), photometric="rgb", extratags=[(t, 2, 0, b, True) for t, b in texts.items()])
    for name in ("out.tif", "out.jpg", "out.png"):
        data = bench.upscale(source, name).read_bytes()
        bench.expect(f"texts kept in {name}", sum(text in data for text in texts.values()), len(texts))


@row("metadata.extended-xmp", "XMP over several segments is kept", "JPEG with 90 KB of caption in extended XMP",
     "Captions and histories are longer than a segment; what points to a part that is gone misleads.")  # fmt: skip
def extended_xmp(bench: Bench) -> None:
    about = '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" %s</rdf:Description>'
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"{about}</rdf:RDF></x:xmpmeta>"
    )
    caption = "a long caption " * 6000
    extension = (packet % f"><dc:description>{caption}</dc:description>").encode()
    digest = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
    note = f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{digest}">'
    segments = [(1, b"http://ns.adobe.com/xap/1.0/\0" + (packet % note).encode())]
    for at in range(0, len(extension), 60_000):
        head = b"http://ns.adobe.com/xmp/extension/\0" + digest.encode() + struct.pack(">II", len(extension), at)
        segments.append((1, head + extension[at : at + 60_000]))
    source = pillow(bench.folder / "in.jpg", scene(), quality=95)
    files.write(source, jpeg_with(source.read_bytes(), *segments))
    found = xmp_in(decode(bench.upscale(source, "out.png")))
    bench.expect("caption kept", caption.encode() in found, True)
    bench.expect("points to a part that is not there", b"HasExtendedXMP" in found, False)


@row("metadata.gain-map", "A gain map is kept, or gone with what names it", "JPEG with a gain map (Ultra HDR)",
     "A viewer that is told of a gain map and finds none shows wrong light, or nothing.")  # fmt: skip
def gain_map(bench: Bench) -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    segment = (1, b"http://ns.adobe.com/xap/1.0/\0" + packet.encode())
    small = pillow(bench.folder / "gain.jpg", scene(16, 12), quality=90)
    source = pillow(bench.folder / "in.jpg", scene(), quality=95)
    second = jpeg_with(small.read_bytes(), segment)
    small.unlink()
    files.write(source, jpeg_with(source.read_bytes(), segment) + second)
    out = bench.upscale(source).read_bytes()
    held = out.rstrip(b"\0").count(b"\xff\xd8\xff") > 1
    bench.note("gain map kept", held)
    bench.expect("named in XMP as it is", held or b"hdrgm:Version" not in out, True)


@row("metadata.imagej-scale", "A scale in micrometres stays true", "TIFF of ImageJ with 5 pixels to a micrometre",
     "Lengths are measured by it: pixels per unit are the scale of what the picture shows.")  # fmt: skip
def imagej_scale(bench: Bench) -> None:
    import tifffile

    source = bench.folder / "in.tif"
    gray = u8(scene())[..., 0]
    tifffile.imwrite(source, gray, imagej=True, resolution=(5, 5), metadata={"unit": "um"})
    with tifffile.TiffFile(bench.upscale(source)) as file:
        tags = file.pages.first.tags
        said = b"unit=um" in str(tags.valueof(270, default="")).encode()
        above, below = tags.valueof(282, default=(1, 1))
    bench.expect("still says micrometres", said, True)
    bench.expect("pixels per micrometre", above / below, 5 * bench.scale)


@row("metadata.geotiff", "A map stays on its place on earth", "GeoTIFF with pixels of 10 m and one tie point",
     "Programs for maps lay a picture where its tags say; an old size of pixels stretches it.")  # fmt: skip
def geotiff(bench: Bench) -> None:
    import tifffile

    source = bench.folder / "in.tif"
    tie = (3.0, 2.0, 0.0, 500_000.0, 4_600_000.0, 0.0)
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)
    extra = [(33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, tie, True), (34735, 3, 16, keys, True)]
    tifffile.imwrite(source, u8(scene()), photometric="rgb", extratags=extra)
    with tifffile.TiffFile(bench.upscale(source)) as file:
        tags = {tag.code: tag.value for tag in file.pages.first.tags if tag.code in (33550, 33922, 34735)}
    bench.expect("tags of maps kept", len(tags), 3)
    wide, high = tags.get(33550, (0, 0))[:2]
    column, line, _, x, y, _ = tags.get(33922, (0,) * 6)
    bench.expect("metres in a pixel", wide, 10 / bench.scale)
    bench.expect("corner of the first pixel", f"{x - column * wide:.0f} {y + line * high:.0f}", "499970 4600020")


@row("metadata.broken-exif", "Broken EXIF does not stop the work", "JPEG with 60 random bytes for EXIF",
     "Editors and messengers leave damaged EXIF behind.")  # fmt: skip
def broken_exif(bench: Bench) -> None:
    source = pillow(bench.folder / "in.jpg", scene(), quality=95)
    junk = np.random.default_rng(3).integers(0, 256, 60, np.uint8).tobytes()
    files.write(source, jpeg_with(source.read_bytes(), (1, b"Exif\0\0" + b"II*\0\x08\0\0\0" + junk)))
    same_picture(bench, decode(bench.upscale(source)), scene())


@row("metadata.impossible-orientation", "An orientation that does not exist is passed over", "JPEG, orientation 9",
     "Some software writes 0 or 9.")  # fmt: skip
def impossible(bench: Bench) -> None:
    out = decode(bench.upscale(with_exif(bench, ".jpg", orientation=9)))
    same_picture(bench, out, u8(scene()) / 255)
