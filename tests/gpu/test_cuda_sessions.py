"""CUDA against the CPU: the same picture, whatever the backend and the precision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import OutOfMemory, SrganError
from srgan.imaging import to_uint8
from srgan.models import Bundle
from srgan.models.bundle import ONNX
from srgan.runtime import list_devices, open_session

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def batch() -> NDArray[np.float32]:
    return np.random.default_rng(4).random((2, 3, 48, 74), dtype=np.float32)


@pytest.fixture(scope="module")
def on_cpu(bundle: Bundle, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    return open_session(bundle, backend="torch", device="cpu").run(batch)


def apart(a: NDArray[np.float32], b: NDArray[np.float32]) -> int:
    assert a.shape == b.shape
    return int(np.abs(to_uint8(a).astype(int) - to_uint8(b)).max())


@pytest.mark.parametrize(("precision", "steps", "error"), [("fp32", 1, 5e-4), ("fp16", 2, 2e-2), ("bf16", 8, 1e-1)])
def test_torch(
    bundle: Bundle,
    batch: NDArray[np.float32],
    on_cpu: NDArray[np.float32],
    precision: str,
    steps: int,
    error: float,
) -> None:
    session = open_session(bundle, backend="torch", device="cuda", precision=precision)

    got = session.run(batch)

    assert (session.info.device, session.info.precision) == ("cuda:0", precision)
    assert got.dtype == np.float32
    assert apart(got, on_cpu) <= steps
    assert np.abs(got - on_cpu).max() < error


def test_auto_takes_the_gpu_in_16_bits(bundle: Bundle) -> None:
    info = open_session(bundle).info

    assert (info.backend, info.device, info.precision) == ("torch", "cuda:0", "fp16")


@pytest.mark.parametrize(("precision", "steps"), [("fp32", 1), ("auto", 2)])
def test_onnx(
    bundle: Bundle, batch: NDArray[np.float32], on_cpu: NDArray[np.float32], precision: str, steps: int
) -> None:
    if not bundle.has(ONNX):
        pytest.skip("the bundle has no ONNX form: onnx or pnnx is not installed")
    try:
        session = open_session(bundle, backend="onnx", device="cuda", precision=precision)
    except SrganError as error:
        pytest.skip(f"ONNX Runtime does not reach the GPU: {error}")

    assert apart(session.run(batch), on_cpu) <= steps


def test_the_gpu_is_listed_with_its_memory() -> None:
    listed = [device for device in list_devices() if device.backend == "torch" and device.device == "cuda:0"]

    assert len(listed) == 1
    assert (listed[0].memory_bytes or 0) > 1 << 30
    assert listed[0].name


def test_memory_that_runs_out_is_told_and_survived(bundle: Bundle, batch: NDArray[np.float32]) -> None:
    import torch

    session = open_session(bundle, backend="torch", device="cuda")
    before = session.run(batch)
    torch.cuda.set_per_process_memory_fraction(0.005)
    try:
        with pytest.raises(OutOfMemory, match="3000 x 3000 pixels"):
            session.run(np.zeros((1, 3, 3000, 3000), np.float32))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    np.testing.assert_allclose(session.run(batch), before, atol=1e-2)


def test_the_settings_of_the_program_hold_afterwards(bundle: Bundle, batch: NDArray[np.float32]) -> None:
    import torch

    before = (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.backends.cudnn.enabled)

    open_session(bundle, backend="torch", device="cuda", precision="fp32").run(batch)

    assert before == (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.backends.cudnn.enabled)
