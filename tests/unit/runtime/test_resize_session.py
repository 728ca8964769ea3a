"""Plain resampling as a session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import DeviceUnavailable, InvalidConfig, OutOfMemory
from srgan.imaging.resize import resize
from srgan.models import Bundle, ModelInfo
from srgan.runtime import resize as backend
from srgan.runtime.resize import RADIUS, ResizeSession, open_resize, survey


def random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).random(shape, dtype=np.float32)


@pytest.mark.parametrize("kernel", RADIUS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_enlarges_each_picture_as_imaging_does(kernel: Any, scale: int) -> None:
    batch = random(2, 3, 7, 9)

    out = ResizeSession(kernel, scale).run(batch)

    assert (out.shape, out.dtype) == ((2, 3, 7 * scale, 9 * scale), np.float32)
    for got, picture in zip(out, batch, strict=True):
        wanted = resize(picture.transpose(1, 2, 0), 7 * scale, 9 * scale, kernel)
        np.testing.assert_array_equal(got, wanted.transpose(2, 0, 1))


def test_nearest_repeats_pixels() -> None:
    batch = random(1, 3, 4, 5)

    np.testing.assert_array_equal(ResizeSession("nearest", 3).run(batch), batch.repeat(3, axis=2).repeat(3, axis=3))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_takes_any_number_of_channels(channels: int) -> None:
    assert ResizeSession("bicubic", 2).run(random(1, channels, 4, 4)).shape == (1, channels, 8, 8)


@pytest.mark.parametrize("kernel", RADIUS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_tile_with_its_radius_of_overlap_has_no_seam(kernel: Any, scale: int) -> None:
    session = ResizeSession(kernel, scale)
    reach = session.info.radius
    batch = random(1, 1, 1, 40)

    whole = session.run(batch)[..., 20 * scale : 30 * scale]
    tile = session.run(batch[..., 20 - reach : 30 + reach])[..., reach * scale : (reach + 10) * scale]

    np.testing.assert_allclose(tile, whole, atol=1e-6)
    if reach:
        short = reach - 1
        cut = session.run(batch[..., 20 - short : 30 + short])[..., short * scale : (short + 10) * scale]
        assert np.abs(cut - whole).max() > 1e-4, "the radius is larger than it need be"


def test_tells_what_it_is() -> None:
    info = ResizeSession("lanczos", 3).info

    assert (info.model, info.scale, info.radius, info.backend, info.device) == ("lanczos", 3, 3, "resize", "cpu")
    assert (info.multiple, info.minimum, info.precision) == (1, 1, "fp32")


def test_memory_that_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(backend, "resize", starved)

    with pytest.raises(OutOfMemory, match="9 x 7 pixels"):
        ResizeSession("bicubic", 2).run(random(1, 3, 7, 9))


def test_there_is_no_other_kernel() -> None:
    with pytest.raises(InvalidConfig, match="Choose one of: bicubic"):
        ResizeSession("box", 2)


def test_stands_in_for_a_model(tmp_path: Any) -> None:
    bundle = Bundle(tmp_path, ModelInfo(name="some-x3", network="n", scale=3, radius=9, multiple=4))

    info = open_resize(bundle, device="auto", precision="auto", threads=2).info

    assert (info.model, info.scale, info.multiple, info.radius) == ("bicubic", 3, 1, 2)
    with pytest.raises(DeviceUnavailable, match="not on cuda"):
        open_resize(bundle, device="cuda", precision="auto", threads=0)
    with pytest.raises(InvalidConfig, match="not fp16"):
        open_resize(bundle, device="cpu", precision="fp16", threads=0)


def test_the_survey_finds_the_cpu() -> None:
    assert [(device.backend, device.device) for device in survey().devices] == [("resize", "cpu")]
