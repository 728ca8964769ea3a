"""Writing: what each format keeps, and that a target is the whole new picture or what it was before."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from srgan.atomic import check_target
from srgan.errors import CannotWrite, InvalidConfig, LimitExceeded, UpscaleFailed
from srgan.imaging import (
    WRITABLE,
    Picture,
    check_format,
    encode_picture,
    encode_strips,
    format_of,
    read_picture,
    to_uint8,
    to_uint16,
    write_picture,
    write_strips,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FIRST = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Formats that both we and Pillow read; for the others see `test_encoding`."""
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>words</x:xmpmeta>"


def exif(*, camera: str = "Camera", hostile: bool = False) -> bytes:
    """A bare EXIF stream with a maker and a date in the Exif directory; ``hostile`` adds the layout of another file."""
    tags = Image.Exif()
    tags[0x010F] = camera
    tags.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    if hostile:
        tags[256], tags[257], tags[273], tags[279] = 7, 9, 99_999, 3
    return tags.tobytes()[6:]


def picture(channels: int = 3, size: tuple[int, int] = (23, 31), **options: Any) -> Picture:
    y, x, c = np.mgrid[: size[0], : size[1], :channels]
    pixels = (0.5 + 0.25 * np.sin(x / 5 + c) + 0.24 * np.cos(y / 4)).astype(np.float32)
    return Picture(pixels=pixels, **options)


def opened(data: bytes) -> Image.Image:
    """What Pillow, as any other program would, makes of ``data``."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# ---- formats


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_format_gives_the_picture_back(kind: str, channels: int) -> None:
    source = picture(channels)
    image = opened(encode_picture(source, kind, quality=100))
    assert image.format == kind
    assert image.size == (31, 23)
    keeps_alpha = source.has_alpha and kind in ("PNG", "TIFF", "WEBP")
    back = read_picture(encode_picture(source, kind, quality=100))
    assert back.has_alpha == keeps_alpha
    wanted = source.pixels if keeps_alpha or not source.has_alpha else on_white(source)
    if kind == "WEBP" and wanted.shape[2] < 3:  # knows no gray
        wanted = np.concatenate([wanted[..., :1]] * 3 + [wanted[..., 1:]], axis=2)
    difference = np.abs(to_uint8(back.pixels).astype(int) - to_uint8(wanted))
    assert difference.max() <= (8 if kind == "JPEG" else 0)


def on_white(source: Picture) -> NDArray[np.float32]:
    alpha = source.pixels[..., -1:]
    return (source.pixels[..., :-1] * alpha + 1 - alpha).astype(np.float32)


def test_transparent_ground_becomes_white_in_formats_without_alpha() -> None:
    pixels = np.zeros((8, 8, 4), np.float32)
    pixels[:, 4:] = (1, 0, 0, 1)
    for kind in ("JPEG", "BMP"):
        image = opened(encode_picture(Picture(pixels=pixels), kind)).convert("RGB")
        assert min(image.getpixel((0, 4))) >= 250
        red, green, _ = image.getpixel((7, 4))
        assert red >= 250
        assert green <= 10


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_stay_sixteen_bits_in_png(channels: int) -> None:
    source = picture(channels, bit_depth=16)
    header = encode_picture(source, "PNG")[16:33]
    assert header[8] == 16
    if channels == 1:
        back = read_picture(encode_picture(source, "PNG"))
        assert back.bit_depth == 16
        assert np.array_equal(to_uint16(back.pixels), to_uint16(source.pixels))


def test_sixteen_bit_gray_stays_so_in_tiff_and_other_formats_take_eight() -> None:
    source = picture(1, bit_depth=16)
    back = read_picture(encode_picture(source, "TIFF"))
    assert back.bit_depth == 16
    assert np.array_equal(to_uint16(back.pixels), to_uint16(source.pixels))
    assert read_picture(encode_picture(source, "BMP")).bit_depth == 8


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_profile_exif_xmp_and_resolution_are_written(kind: str) -> None:
    source = picture(icc_profile=SRGB, exif=exif(), xmp=XMP, dpi=(300, 150))
    back = read_picture(encode_picture(source, kind))
    assert back.icc_profile == SRGB
    assert back.xmp == XMP
    tags = Image.Exif()
    assert back.exif is not None
    tags.load(back.exif)
    assert tags[0x010F] == "Camera"
    assert tags.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    if kind != "WEBP":  # has no field for it
        assert back.dpi == pytest.approx((300, 150), abs=0.02)


def test_bmp_keeps_the_resolution_and_lets_the_rest_go() -> None:
    back = read_picture(encode_picture(picture(icc_profile=SRGB, exif=exif(), xmp=XMP, dpi=(300, 150)), "BMP"))
    assert back.dpi == pytest.approx((300, 150), abs=0.02)
    assert (back.icc_profile, back.exif, back.xmp) == (None, None, None)


def test_metadata_without_room_is_left_out_of_jpeg() -> None:
    source = picture(exif=exif(camera="x" * 70_000), xmp=b"y" * 70_000, icc_profile=SRGB)
    back = read_picture(encode_picture(source, "JPEG"))
    assert back.xmp is None
    assert back.exif is not None
    assert b"xxx" not in back.exif
    assert b"2020:01:02 03:04:05" in back.exif  # what has room stays
    assert back.icc_profile == SRGB
    assert read_picture(encode_picture(source, "WEBP")).exif == source.exif


@pytest.mark.parametrize("size", [65_527, 65_528])
def test_exif_up_to_the_brim_is_kept_as_it_is_in_jpeg(size: int) -> None:
    source = picture(exif=exif().ljust(size, b"\0"))
    assert (read_picture(encode_picture(source, "JPEG")).exif == source.exif) == (size <= 65_527)


def test_the_layout_of_another_file_does_not_damage_tiff() -> None:
    source = picture(exif=exif(hostile=True))
    back = read_picture(encode_picture(source, "TIFF"))
    assert np.array_equal(to_uint8(back.pixels), to_uint8(source.pixels))


def test_tiff_is_compressed_and_keeps_the_exif() -> None:
    source = picture(size=(200, 200), exif=exif())
    data = encode_picture(source, "TIFF")
    assert opened(data).info["compression"] == "tiff_adobe_deflate"
    assert len(data) < 200 * 200 * 3
    assert opened(data).getexif().get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"


def test_quality_decides_the_size_and_colour_is_not_subsampled() -> None:
    source = picture(size=(100, 100))
    for kind in ("JPEG", "WEBP"):
        sizes = [len(encode_picture(source, kind, quality=q)) for q in (20, 60, 95)]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2]
    assert encode_picture(source, "JPEG") == encode_picture(source, "JPEG", quality=95)
    assert encode_picture(source, "WEBP") == encode_picture(source, "WEBP", quality=90)
    assert opened(encode_picture(source, "JPEG")).layer[0][1:3] == (1, 1)


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_quality_out_of_range_is_refused(quality: int) -> None:
    with pytest.raises(InvalidConfig, match="1 to 100"):
        encode_picture(picture(), "JPEG", quality=quality)


def test_large_pictures_are_encoded_in_strips_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    source = picture()
    whole = to_uint8(source.pixels)
    monkeypatch.setattr("srgan.imaging.fitting._STRIP_VALUES", 31 * 3 * 4)
    assert np.array_equal(np.asarray(opened(encode_picture(source, "PNG"))), whole)


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.parametrize("channels", [1, 4])
def test_strips_make_the_same_file_as_the_whole(kind: str, channels: int, tmp_path: Path) -> None:
    whole = picture(channels, icc_profile=None if channels == 1 else SRGB, dpi=(300, 300))
    like = picture(channels, (2, 2), icc_profile=whole.icc_profile, dpi=(300, 300))

    def strips() -> Iterator[NDArray[np.float32]]:
        for start in (0, 5, 6, 20):
            yield whole.pixels[start : {0: 5, 5: 6, 6: 20, 20: 23}[start]]

    data = encode_strips(strips(), (23, 31), kind, like=like)
    back, expected = read_picture(data), read_picture(encode_picture(whole, kind))
    assert np.array_equal(back.pixels, expected.pixels)
    assert (back.icc_profile, back.dpi) == (expected.icc_profile, expected.dpi)
    target = write_strips(strips(), (23, 31), tmp_path / f"a.{kind.lower()}", like=like)
    assert target.read_bytes() == data
    with pytest.raises(ValueError, match="rows"):
        encode_strips([whole.pixels[:22]], (23, 31), kind, like=like)


def test_png_takes_each_strip_when_there_is_room_for_it(tmp_path: Path) -> None:
    """Strips are asked for one by one and let go: what is alive is counted when each is made."""
    alive: list[weakref.ref[NDArray[np.float32]]] = []

    def strips() -> Iterator[NDArray[np.float32]]:
        for _ in range(10):
            strip = np.random.default_rng(0).random((50, 400, 3), np.float32)
            assert sum(ref() is not None for ref in alive) <= 1
            alive.append(weakref.ref(strip))
            yield strip
            del strip

    write_strips(strips(), (500, 400), tmp_path / "a.png", like=picture())
    assert len(alive) == 10


@pytest.mark.parametrize("error", [UpscaleFailed("no pixels"), KeyError("a mistake of ours")])
def test_what_the_strips_raise_passes_through_and_leaves_nothing(error: Exception, tmp_path: Path) -> None:
    def strips() -> Iterator[NDArray[np.float32]]:
        yield picture().pixels[:10]
        raise error

    with pytest.raises(type(error)) as caught:
        write_strips(strips(), (23, 31), tmp_path / "a.png", like=picture())
    assert caught.value is error
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("target", "format", "kind"),
    [
        ("a.png", None, "PNG"),
        ("a.JPG", None, "JPEG"),
        ("dir.webp/a.jpeg", None, "JPEG"),
        ("a.tif", None, "TIFF"),
        ("a.tiff", None, "TIFF"),
        ("a.webp", None, "WEBP"),
        ("a.bmp", None, "BMP"),
        ("a.gif", None, "GIF"),
        ("a.PGM", None, "PPM"),
        ("a.pfm", None, "PFM"),
        ("a.avif", None, "AVIF"),
        ("a.heif", None, "HEIC"),
        ("a.jxl", None, "JXL"),
        ("a.png", "webp", "WEBP"),
        ("a", "JPEG", "JPEG"),
        (None, ".tif", "TIFF"),
        (None, None, "PNG"),
    ],
)
def test_the_suffix_or_the_name_says_the_format(target: str | None, format: str | None, kind: str) -> None:
    assert format_of(target, format) == kind


@pytest.mark.parametrize(
    ("target", "format", "message"),
    [("a.xyz", None, r"'\.xyz'"), ("a", None, "no suffix"), (None, "xcf", "'xcf'"), ("a.png", "", "''")],
)
def test_unknown_formats_are_refused(target: str | None, format: str | None, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        format_of(target, format)


def test_formats_go_by_their_names_and_suffixes_everywhere() -> None:
    assert encode_picture(picture(), "jpg") == encode_picture(picture(), "JPEG")
    with pytest.raises(LimitExceeded, match="too large for WEBP"):
        check_format("webp", 20_000, 1, 3)
    for refuse in (lambda: encode_picture(picture(), "PCX"), lambda: check_format("PCX", 1, 1, 3)):
        with pytest.raises(InvalidConfig, match="PCX"):
            refuse()


@pytest.mark.parametrize(
    ("kind", "width", "height"),
    [
        ("WEBP", 16_384, 10),
        ("WEBP", 16_000, 16_000),
        ("JPEG", 10, 65_501),
        ("PNG", 2**31, 1),
        ("BMP", 40_000, 40_000),
        ("GIF", 65_536, 1),
        ("AVIF", 32_769, 1),
        ("AVIF", 20_000, 20_000),
        ("HEIC", 1, 16_385),
        ("JXL", 40_000, 40_000),
    ],
)
def test_limits_of_a_format_are_known_before_the_work(kind: str, width: int, height: int) -> None:
    with pytest.raises(LimitExceeded, match=f"{width} x {height} pixels are too large for {kind}"):
        check_format(kind, width, height, 3)


@pytest.mark.parametrize(
    ("kind", "width", "height"),
    [("WEBP", 16_383, 10_000), ("JPEG", 65_500, 65_500), ("PNG", 40_000, 40_000), ("TIFF", 40_000, 40_000)],
)
def test_what_fits_is_let_through(kind: str, width: int, height: int) -> None:
    check_format(kind, width, height, 4)


def test_a_picture_of_the_largest_side_can_be_written(tmp_path: Path) -> None:
    for kind, side in (("JPEG", 65_500), ("WEBP", 16_383)):
        long = Picture(pixels=np.zeros((1, side, 1), np.float32))
        assert write_picture(long, tmp_path / f"a.{kind.lower()}").stat().st_size > 0
        with pytest.raises(LimitExceeded, match="too large"):
            encode_picture(Picture(pixels=np.zeros((1, side + 1, 1), np.float32)), kind)


# ---- files


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_is_what_was_encoded(tmp_path: Path) -> None:
    for kind in WRITABLE:
        target = tmp_path / f"a.{kind.lower()}"
        assert write_picture(picture(), target) == target
        assert target.read_bytes() == encode_picture(picture(), kind)
    assert len(leftovers(tmp_path)) == len(WRITABLE)


def test_the_format_may_differ_from_the_suffix_when_asked(tmp_path: Path) -> None:
    target = write_picture(picture(), tmp_path / "a.dat", format="webp")
    assert target.read_bytes()[8:12] == b"WEBP"


def test_what_exists_is_kept_unless_overwriting_is_allowed(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"precious")
    with pytest.raises(CannotWrite, match=r"a.png: exists already"):
        write_picture(picture(), target)
    assert target.read_bytes() == b"precious"
    write_picture(picture(), target, overwrite=True)
    assert read_picture(target).width == 31
    assert leftovers(tmp_path) == ["a.png"]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.png"
    monkeypatch.setattr("srgan.imaging.writing.check_target", lambda *_, **__: target.write_bytes(b"precious"))
    with pytest.raises(CannotWrite, match="exists already"):
        write_picture(picture(), target)
    assert target.read_bytes() == b"precious"
    assert leftovers(tmp_path) == ["a.png"]


def test_file_systems_without_links_are_written_to_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    target = write_picture(picture(), tmp_path / "a.png")
    assert read_picture(target).width == 31
    monkeypatch.setattr("srgan.imaging.writing.check_target", lambda *_, **__: None)
    before = target.read_bytes()
    with pytest.raises(CannotWrite, match="exists already"):
        write_picture(picture(1), target)
    assert target.read_bytes() == before
    assert leftovers(tmp_path) == ["a.png"]


@pytest.mark.parametrize("step", ["encode", "os.fsync", "open_input", "os.replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_whatever_fails_leaves_the_original_and_nothing_else(
    step: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"precious")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(f"srgan.imaging.writing.{step}", fail)
    expected: type[BaseException] = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else CannotWrite
    with pytest.raises(expected) as caught:
        write_picture(picture(), target, overwrite=True)
    if expected is CannotWrite:
        assert str(caught.value) == f"{target}: No space left on device"
    assert target.read_bytes() == b"precious"
    assert leftovers(tmp_path) == ["a.png"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a limit on file sizes")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_a_full_disk_is_reported_and_leaves_nothing(suffix: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the kernel refuses the write just the same."""
    script = textwrap.dedent("""
        import resource, sys
        import numpy as np
        from srgan.errors import CannotWrite
        from srgan.imaging import Picture, write_picture
        pixels = np.random.default_rng(0).random((200, 200, 3), np.float32)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            write_picture(Picture(pixels=pixels), sys.argv[1], overwrite=True)
        except CannotWrite as error:
            sys.stdout.write(f"refused: {error}")
    """)
    target = tmp_path / f"a.{suffix}"
    target.write_bytes(b"precious")
    done = subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"refused: {target}: "), done.stderr[-2000:]
    assert target.read_bytes() == b"precious"
    assert leftovers(tmp_path) == [target.name]


def test_a_file_that_reads_back_differently_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = encode_picture(Picture(pixels=np.zeros((5, 6, 3), np.float32)), "PNG")
    monkeypatch.setattr("srgan.imaging.writing.encode", lambda *arguments: arguments[-1].write(wrong))
    target = tmp_path / "a.png"
    with pytest.raises(CannotWrite, match=r"a.png: the written file is PNG of 6 x 5 pixels instead of PNG of 31 x 23"):
        write_picture(picture(), target)
    assert leftovers(tmp_path) == []


def test_targets_that_cannot_be_written_are_known_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="is a folder"):
        check_target(tmp_path)
    with pytest.raises(CannotWrite, match=r"the folder .*nowhere does not exist"):
        check_target(tmp_path / "nowhere" / "a.png")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotWrite, match="does not exist"):
        check_target(tmp_path / "file" / "a.png")
    with pytest.raises(CannotWrite, match="exists already"):
        check_target(tmp_path / "file")
    with pytest.raises(CannotWrite):
        check_target(tmp_path / ("x" * 5000))
    with pytest.raises(CannotWrite):
        check_target("a\0b.png")
    check_target(tmp_path / "file", overwrite=True)
    check_target(tmp_path / "new.png")


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no device files here")
def test_devices_are_never_replaced() -> None:
    with pytest.raises(CannotWrite, match="not a regular file"):
        write_picture(picture(), "/dev/null", format="png", overwrite=True)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_folder_without_write_permission_is_known_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(CannotWrite, match="cannot be written to"):
        check_target(tmp_path / "a.png")


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_follow_the_umask_or_the_file_that_was_there(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        fresh = write_picture(picture(), tmp_path / "fresh.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o640
    fresh.chmod(0o604)
    write_picture(picture(), fresh, overwrite=True)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o604


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links")
def test_a_link_is_kept_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    real = tmp_path / "real.png"
    real.write_bytes(b"old")
    link = tmp_path / "link.png"
    link.symlink_to("real.png")
    with pytest.raises(CannotWrite, match="exists already"):
        write_picture(picture(), link)
    write_picture(picture(), link, overwrite=True)
    assert link.is_symlink()
    assert read_picture(real).width == 31
    dangling = tmp_path / "dangling.png"
    dangling.symlink_to("nowhere.png")
    with pytest.raises(CannotWrite, match="exists already"):
        write_picture(picture(), dangling)


def test_names_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 125 + ".png")
    assert write_picture(picture(), target).exists()
    assert leftovers(tmp_path) == [target.name]
