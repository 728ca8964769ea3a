"""The upscaler around real engines and real files: tiles join, folders go through, one session serves threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import srgan
from srgan.batch import process_folder
from srgan.imaging import Picture, read_picture, resize, to_uint8
from srgan.models import Bundle
from srgan.runtime import open_session
from srgan.upscaler import Upscaler

Exported = Callable[[str, int], Bundle]
LEVEL = 1 / 255


@pytest.fixture(scope="module")
def photo(examples: Path) -> Picture:
    """A part of a real photograph, of odd size."""
    path = next(path for path in sorted(examples.iterdir()) if path.suffix in (".jpg", ".png", ".webp"))
    picture = read_picture(path)
    return Picture(pixels=np.ascontiguousarray(picture.colour[:71, :93]))


@pytest.mark.parametrize("backend", ["ncnn", "onnx", "torch"])
@pytest.mark.parametrize("name", ["turbo", "fast", "balanced", "quality"])
def test_tiled_equals_untiled(exported: Exported, photo: Picture, name: str, backend: str) -> None:
    bundle = exported(name, 4)
    options: Any = {"backend": backend, "device": "cpu", "precision": "fp32", "threads": 1}
    whole = Upscaler(bundle, **options).upscale(photo).pixels

    tiled = Upscaler(bundle, **options, tile=2 * bundle.info.radius + 24).upscale(photo).pixels

    assert whole.shape == (71 * 4, 93 * 4, 3)
    assert np.ptp(whole) > 0.1
    assert np.abs(tiled - whole).max() < LEVEL


class TestRefiner:
    """A network of scale 8 that takes multiples of 8 and sees 62 pixels far, around pictures of any size."""

    HOW: ClassVar[Any] = {"backend": "ncnn", "device": "cpu", "precision": "fp32", "threads": 1}

    @pytest.fixture
    def bundle(self, exported: Exported) -> Bundle:
        return exported("refiner", 8)

    @pytest.mark.parametrize("backend", ["ncnn", "onnx", "torch"])
    def test_tiled_equals_untiled(self, bundle: Bundle, backend: str) -> None:
        picture = noisy(9, 151)
        how = {**self.HOW, "backend": backend}
        whole = Upscaler(bundle, **how).upscale(picture).pixels

        tiled = Upscaler(bundle, **how, tile=160).upscale(picture).pixels

        assert whole.shape == (9 * 8, 151 * 8, 3)
        assert np.abs(tiled - whole).max() < 1e-4

    def test_a_long_picture_in_little_memory(self, bundle: Bundle) -> None:
        picture, starts = noisy(11, 500), []
        with Upscaler(bundle, **self.HOW) as upscaler:
            whole = upscaler.upscale(picture).pixels
        with Upscaler(bundle, **self.HOW, memory_limit=96 << 20) as upscaler:
            cut = upscaler.upscale(picture, report=lambda step: starts.append(step.done)).pixels

        assert len(set(starts)) > 4, "several windows"
        assert np.abs(cut - whole).max() < 1e-4

    @pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 64)])
    def test_any_size_to_any_size(self, bundle: Bundle, size: tuple[int, int]) -> None:
        with Upscaler(bundle, **self.HOW) as upscaler:
            assert upscaler.upscale(noisy(*size)).pixels.shape == (size[0] * 8, size[1] * 8, 3)
            assert upscaler.upscale(noisy(*size), scale=3).pixels.shape == (size[0] * 3, size[1] * 3, 3)

    def test_transparency_and_gray(self, bundle: Bundle) -> None:
        colour = noisy(40, 33).pixels
        alpha = (np.add.outer(np.arange(40), np.arange(33)) > 30).astype(np.float32)[..., None]
        with Upscaler(bundle, **self.HOW) as upscaler:
            made = upscaler.upscale(Picture(pixels=np.concatenate([colour, alpha], axis=2))).pixels
            gray = upscaler.upscale(Picture(pixels=np.ascontiguousarray(colour[..., :1]))).pixels

        assert (made.shape, gray.shape) == ((320, 264, 4), (320, 264, 1))
        large = alpha.repeat(8, 0).repeat(8, 1)[..., 0]
        assert np.abs(made[..., 3] - large)[64:].mean() < 0.1
        assert (made[0, 0, 3], made[-1, -1, 3]) == (0, 1)

    def test_the_network_sees_the_picture_in_the_blocks_that_it_knows(self, bundle: Bundle) -> None:
        """The margin shifts nothing: far from the border it is the session's own result."""
        picture = noisy(152, 152)
        with Upscaler(bundle, **self.HOW) as upscaler:
            made = upscaler.upscale(picture).pixels

        session = open_session(bundle, **self.HOW)
        plain = session.run(picture.pixels.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0).clip(0, 1)

        middle = slice(72 * 8, 80 * 8)
        np.testing.assert_allclose(made[middle, middle], plain[middle, middle], atol=1e-4)


def noisy(height: int, width: int) -> Picture:
    random = np.random.default_rng(height * width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = 0.5 + 0.3 * np.sin(np.stack([x / 5, y / 7, (x + y) / 9], axis=2))
    return Picture(pixels=np.asarray(waves + 0.2 * random.random((height, width, 3)) - 0.1, np.float32))


def test_the_baseline_is_bicubic_enlargement(photo: Picture) -> None:
    expected = np.clip(resize(photo.pixels, 71 * 3, 93 * 3, "bicubic"), 0, 1)

    for tile in (None, 40):
        enlarged = Upscaler("bicubic", scale=3, tile=tile).upscale(photo).pixels
        assert np.abs(enlarged - expected).max() < LEVEL


def test_gray_and_alpha_go_through_a_real_network(exported: Exported, photo: Picture) -> None:
    upscaler = Upscaler(exported("turbo", 2), backend="ncnn", device="cpu", threads=1)
    gray = photo.pixels[..., :1]
    alpha = np.clip(photo.pixels[..., 1:2] * 4 - 1, 0, 1)

    plain = upscaler.upscale(Picture(pixels=np.ascontiguousarray(gray))).pixels
    both = upscaler.upscale(Picture(pixels=np.concatenate([gray, alpha], axis=2))).pixels

    assert plain.shape == (142, 186, 1)
    opaque = both[..., 1] == 1
    assert both.shape == (142, 186, 2)
    assert (both[..., 1] == 0).any()
    assert opaque.mean() > 0.1
    assert alpha.repeat(2, 0).repeat(2, 1)[..., 0][opaque].min() > 0.2


def test_every_size_from_one_pixel(exported: Exported) -> None:
    upscaler = Upscaler(exported("fast", 4), backend="ncnn", device="cpu", threads=1)
    for height, width in [(1, 1), (1, 9), (7, 1), (2, 3)]:
        enlarged = upscaler.upscale(Picture(pixels=np.full((height, width, 3), 0.5, np.float32)), scale=3)
        assert enlarged.pixels.shape == (height * 3, width * 3, 3)


def test_a_folder_goes_through_a_real_network(exported: Exported, examples: Path, tmp_path: Path) -> None:
    upscaler = Upscaler(exported("turbo", 2), backend="ncnn", device="cpu", threads=1)
    pictures = {p.name for p in examples.iterdir() if p.suffix in (".jpg", ".png", ".webp")}

    report = process_folder(examples, tmp_path / "out", upscaler, reports=tmp_path / "report.json")

    assert report.ok, report.to_json()
    assert report.count("done") == len(pictures)
    for outcome in report.outcomes:
        source, made = read_picture(examples / outcome.source), read_picture(tmp_path / "out" / outcome.target)
        assert (made.width, made.height) == (2 * source.width, 2 * source.height)


def test_kinds_agree_with_each_other(exported: Exported, photo: Picture) -> None:
    upscaler = Upscaler(exported("turbo", 2), backend="ncnn", device="cpu", threads=1)
    values = to_uint8(photo.pixels)

    array = srgan.upscale(values, upscaler)

    image_module = pytest.importorskip("PIL.Image")
    assert np.array_equal(np.asarray(srgan.upscale(image_module.fromarray(values), upscaler)), array)
    as_picture = srgan.upscale(Picture(pixels=values.astype(np.float32) / np.float32(255)), upscaler)
    assert np.array_equal(to_uint8(as_picture.pixels), array)
