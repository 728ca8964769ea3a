"""Names, limits and estimates of formats."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from srgan.errors import InvalidConfig
from srgan.imaging import WRITABLE, Picture, encode_picture, estimate_bytes, format_of
from srgan.imaging.formats import FORMATS
from srgan.settings import UpscaleSettings

BARE = ("BMP", "PPM", "PFM")


def photograph(size: int = 256, bit_depth: int = 8) -> Picture:
    """Smooth shapes with grain, as a photograph has, enlarged: the estimate is made for such."""
    from srgan.imaging import resize

    random = np.random.default_rng(0)
    y, x, c = np.mgrid[: size // 4, : size // 4, :3] / size
    small = 0.5 + 0.3 * np.sin(9 * x + c) * np.cos(17 * y) + random.normal(0, 0.03, (size // 4, size // 4, 3))
    pixels = resize(small.astype(np.float32), size, size)
    return Picture(pixels=np.clip(pixels, 0, 1).astype(np.float32), bit_depth=bit_depth)


@pytest.mark.parametrize("kind", WRITABLE)
@pytest.mark.parametrize("bit_depth", [8, 16, 32])
def test_the_estimate_is_enough_and_not_far_too_much(kind: str, bit_depth: int) -> None:
    source = photograph(bit_depth=bit_depth)
    needed = len(encode_picture(source, kind))
    estimate = estimate_bytes((source.height, source.width), 3, bit_depth, kind)
    assert needed <= estimate
    if kind in BARE:
        assert estimate < needed + 100_000


def test_estimates_follow_size_depth_and_channels() -> None:
    one = estimate_bytes((4000, 4000), 1, 8, "PNG")
    assert estimate_bytes((8000, 4000), 1, 8, "PNG") == pytest.approx(2 * one, rel=0.01)
    assert estimate_bytes((4000, 4000), 4, 8, "png") == pytest.approx(4 * one, rel=0.02)
    assert estimate_bytes((4000, 4000), 1, 16, "PNG") > 2 * one
    assert estimate_bytes((4000, 4000), 1, 32, "PNG") == estimate_bytes((4000, 4000), 1, 16, "PNG")
    assert estimate_bytes((4000, 4000), 1, 32, "tif") == 2 * estimate_bytes((4000, 4000), 1, 16, "tif") - 65_536
    assert estimate_bytes((20_000, 20_000), 3, 8, "JPEG") < 20_000 * 20_000 * 3
    with pytest.raises(InvalidConfig):
        estimate_bytes((1, 1), 1, 8, "XCF")


def test_every_suffix_has_one_format_and_every_format_its_name() -> None:
    suffixes = [suffix for held in FORMATS.values() for suffix in held.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    for kind in WRITABLE:
        assert format_of(None, kind) == kind
        assert format_of(None, kind.lower()) == kind


def test_the_settings_offer_every_format() -> None:
    annotation = UpscaleSettings.model_fields["format"].annotation
    offered = {name for part in get_args(annotation) for name in get_args(part)}
    assert {format_of(None, name) for name in offered} == set(WRITABLE)
    for written, meant in (("JPG", "jpeg"), (".tif", "tiff"), ("HEIF", "heic"), ("pgm", "ppm")):
        assert UpscaleSettings.model_validate({"format": written}).format == meant
