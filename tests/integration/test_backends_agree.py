"""The same picture through every backend: equal within 1/255 after rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.imaging import to_uint8
from srgan.models import Bundle
from srgan.runtime import open_session

NETWORKS = ["srresnet", "turbo", "fast", "balanced", "quality"]
LARGEST = ("refiner", 8)
"""A network of another scale than the others, and the one that has to see the farthest."""
Exported = Callable[[str, int], Bundle]


def pictures(count: int, height: int, width: int, multiple: int = 1) -> NDArray[np.float32]:
    """``count`` pictures with slopes, edges and noise, their sides rounded up to ``multiple``."""
    height, width = (-(-side // multiple) * multiple for side in (height, width))
    random = np.random.default_rng(height * width)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    slopes = np.stack([x / width, y / height, (x + y) / (height + width)])
    edges = ((x // 5 + y // 3) % 2).astype(np.float32)
    noise = random.random((count, 3, height, width), dtype=np.float32)
    return np.asarray(0.4 * slopes + 0.3 * edges + 0.3 * noise, np.float32)


def apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> int:
    """The largest difference between two pictures rounded to 8 bits, in steps of 1/255."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype == np.float32
    return int(np.abs(to_uint8(a).astype(int) - to_uint8(b)).max())


@pytest.mark.parametrize(("name", "scale"), [*((name, scale) for name in NETWORKS for scale in (2, 4)), LARGEST])
def test_all_backends_give_the_same_picture(exported: Exported, name: str, scale: int) -> None:
    bundle = exported(name, scale)
    torch_session = open_session(bundle, backend="torch", device="cpu")
    batch = pictures(2, 37, 53, bundle.info.multiple)

    wanted = torch_session.run(batch)

    assert wanted.shape == (2, 3, batch.shape[2] * scale, batch.shape[3] * scale)
    assert wanted.std() > 0.1
    assert np.abs(wanted[0] - wanted[1]).max() > 0.1
    for backend in ("ncnn", "onnx"):
        session = open_session(bundle, backend=backend, device="cpu")
        assert (session.info.backend, session.info.device, session.info.precision) == (backend, "cpu", "fp32")
        got = session.run(batch)
        assert apart(got, wanted) <= 1, backend
        # Far closer than rounding shows, so that no error can hide in it.
        assert np.abs(got - wanted).max() < 2e-4, backend


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (64, 64), (131, 17)])
@pytest.mark.parametrize("name", ["turbo", "fast"])
def test_they_agree_at_any_size(exported: Exported, name: str, size: tuple[int, int]) -> None:
    bundle = exported(name, 4)
    batch = pictures(1, *size, bundle.info.multiple)

    results = [open_session(bundle, backend=b, device="cpu").run(batch) for b in ("torch", "onnx", "ncnn")]

    assert np.abs(results[1] - results[0]).max() < 2e-4
    assert np.abs(results[2] - results[0]).max() < 2e-4


@pytest.mark.parametrize("backend", ["ncnn", "onnx", "torch"])
def test_sizes_and_batches_may_change_from_run_to_run(exported: Exported, backend: str) -> None:
    session = open_session(exported("fast", 2), backend=backend, device="cpu")
    batch = pictures(3, 20, 30)
    first = session.run(batch)

    session.run(pictures(1, 64, 8))

    np.testing.assert_allclose(session.run(batch), first, atol=1e-6)
    for picture, whole in zip(batch, first, strict=True):
        np.testing.assert_allclose(session.run(picture[None])[0], whole, atol=2e-5)


@pytest.mark.parametrize("backend", ["ncnn", "onnx", "torch"])
def test_the_number_of_threads_does_not_change_the_picture(exported: Exported, backend: str) -> None:
    batch = pictures(1, 48, 40)
    results = [open_session(exported("fast", 4), backend=backend, device="cpu", threads=n).run(batch) for n in (1, 2)]

    np.testing.assert_allclose(results[0], results[1], atol=1e-5)


@pytest.mark.parametrize("backend", ["ncnn", "onnx", "torch"])
def test_the_caller_keeps_the_pixels_and_the_result(exported: Exported, backend: str) -> None:
    session = open_session(exported("fast", 2), backend=backend, device="cpu")
    batch = pictures(1, 24, 24)
    kept = batch.copy()
    first = session.run(batch)
    copy = first.copy()

    session.run(pictures(1, 24, 24)[..., ::-1])

    np.testing.assert_array_equal(batch, kept)
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize(("name", "scale"), [*((name, 2) for name in NETWORKS), LARGEST])
def test_the_stated_radius_is_enough_for_tiles(exported: Exported, name: str, scale: int) -> None:
    bundle = exported(name, scale)
    session = open_session(bundle, backend="ncnn", device="cpu")
    step = bundle.info.multiple
    radius = -(-bundle.info.radius // step) * step
    batch = pictures(1, 24, 2 * radius + 24, step)

    whole = session.run(batch)
    middle = session.run(batch[..., step : 2 * radius + 2 * step])

    np.testing.assert_allclose(
        middle[..., scale * radius : scale * radius + scale * step],
        whole[..., scale * (radius + step) : scale * (radius + 2 * step)],
        atol=1e-4,
    )
