"""The torch backend as a guest in somebody else's program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from srgan.errors import CorruptModel, DeviceUnavailable, InvalidConfig, OutOfMemory, UpscaleFailed
from srgan.models import Bundle, write_bundle
from srgan.runtime import open_session
from srgan.runtime.pytorch import TorchSession, survey
from srgan.runtime.session import SessionInfo

torch = pytest.importorskip("torch")
Exported = Callable[[str, int], Bundle]
BATCH = np.random.default_rng(2).random((1, 3, 16, 20), dtype=np.float32)


class Stub(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Does to its input what it is told, and notes torch's settings while it runs."""

    def __init__(self, act: Callable[[object], object]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.act = act
        self.threads = 0
        self.gradients = True

    def forward(self, x: object) -> object:
        self.threads = torch.get_num_threads()
        self.gradients = torch.is_grad_enabled()
        return self.act(x)


def session(act: Callable[[object], object], threads: int = 0) -> tuple[TorchSession, Stub]:
    stub = Stub(act)
    return TorchSession(stub, SessionInfo(model="stub", scale=1, backend="torch"), threads), stub


@pytest.fixture
def two_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (2, 2), (0, 2)])
def test_threads_hold_for_the_run_only(two_threads: object, asked: int, used: int) -> None:
    opened, stub = session(lambda x: x, threads=asked)

    opened.run(BATCH)

    assert stub.threads == used
    assert torch.get_num_threads() == 2


def test_threads_are_restored_after_a_failure(two_threads: object) -> None:
    def fail(_: object) -> object:
        raise RuntimeError("broken")

    opened, _ = session(fail, threads=1)

    with pytest.raises(UpscaleFailed, match="stub: torch on cpu stopped: broken"):
        opened.run(BATCH)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("precision", "arithmetic"), [("fp32", "ieee"), ("fp16", "tf32")])
def test_fp32_on_cuda_is_no_tf32_during_a_run_and_the_program_keeps_its_choice(
    monkeypatch: pytest.MonkeyPatch, precision: str, arithmetic: str
) -> None:
    cudnn = torch.backends.cudnn
    if not hasattr(cudnn, "conv"):
        pytest.skip("torch older than 2.9 has another switch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    seen = []
    opened, _ = session(lambda x: seen.append(cudnn.conv.fp32_precision) or x)
    opened.info = replace(opened.info, precision=precision)

    opened.run(BATCH)

    assert seen == [arithmetic]
    assert cudnn.allow_tf32


def test_no_gradients_are_kept() -> None:
    opened, stub = session(lambda x: x)

    opened.run(BATCH)

    assert not stub.gradients
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "trouble",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: not enough memory: you tried to allocate"
        ),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_runs_out(trouble: Exception) -> None:
    def fail(_: object) -> object:
        raise trouble

    with pytest.raises(OutOfMemory, match="1 x 20 x 16 pixels"):
        session(fail)[0].run(BATCH)


def test_opening_leaves_the_random_numbers_of_the_program_alone(exported: Exported) -> None:
    bundle = exported("fast", 2)
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)

    open_session(bundle, backend="torch", device="cpu")

    assert torch.equal(torch.rand(4), wanted)


def test_bf16_on_the_cpu_is_there_when_asked_for(exported: Exported) -> None:
    bundle = exported("fast", 2)
    exact = open_session(bundle, backend="torch", device="cpu").run(BATCH)
    rough = open_session(bundle, backend="torch", device="cpu", precision="bf16")

    assert rough.info.precision == "bf16"
    assert 1e-4 < np.abs(rough.run(BATCH) - exact).max() < 0.05
    with pytest.raises(InvalidConfig, match="not fp16"):
        open_session(bundle, backend="torch", device="cpu", precision="fp16")


def test_weights_that_are_not_safetensors(exported: Exported, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", exported("fast", 2).info, {"weights.safetensors": b"\x80\x04pickle"})

    with pytest.raises(CorruptModel, match="cannot be read"):
        open_session(bundle, backend="torch", device="cpu")


def test_weights_of_another_network(exported: Exported, tmp_path: Path) -> None:
    weights = exported("turbo", 2).read("weights.safetensors")
    bundle = write_bundle(tmp_path / "b", exported("fast", 2).info, {"weights.safetensors": weights})

    with pytest.raises(CorruptModel, match="not for the network 'fast'"):
        open_session(bundle, backend="torch", device="cpu")


def test_an_architecture_that_srgan_does_not_have(exported: Exported, tmp_path: Path) -> None:
    info = exported("fast", 2).info.model_copy(update={"network": "perpetuum"})
    bundle = write_bundle(
        tmp_path / "b", info, {"weights.safetensors": exported("fast", 2).read("weights.safetensors")}
    )

    with pytest.raises(InvalidConfig, match="perpetuum"):
        open_session(bundle, backend="torch", device="cpu")


def test_devices_that_are_not_there(exported: Exported) -> None:
    bundle = exported("fast", 2)
    count = torch.cuda.device_count()
    with pytest.raises(DeviceUnavailable, match=f"no cuda:{count}" if count else "CUDA"):
        open_session(bundle, backend="torch", device=f"cuda:{count}")
    if not torch.backends.mps.is_available():
        with pytest.raises(DeviceUnavailable, match="mps"):
            open_session(bundle, backend="torch", device="mps")


def test_the_survey_lists_what_torch_reaches() -> None:
    found = [device.device for device in survey().devices]

    assert found[0] == "cpu"
    assert [name for name in found if name.startswith("cuda")] == [
        f"cuda:{n}" for n in range(torch.cuda.device_count())
    ]
