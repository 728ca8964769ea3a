"""Choosing a backend and a device: what is asked for is taken or refused, `auto` takes the best that is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import (
    CorruptModel,
    DeviceUnavailable,
    InvalidConfig,
    MissingDependency,
    ModelNotFound,
    SrganError,
    UnsupportedModel,
)
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.runtime import BACKENDS, open_session, opening
from srgan.runtime.session import SessionInfo, describe

FORMS = {
    "ncnn": {"model.ncnn.param": b"p", "model.ncnn.bin": b"b"},
    "onnx": {"model.onnx": b"o"},
    "torch": {"weights.safetensors": b"s"},
}
INFO = ModelInfo(name="tiny-x2", network="none", scale=2, radius=3, multiple=2, minimum=4)


class FakeSession:
    """Says how it was opened and repeats pixels."""

    def __init__(self, bundle: Bundle, backend: str, device: str, precision: str, threads: int) -> None:
        self.info = describe(bundle.info, backend=backend, device=device, precision=f"{precision} {threads}")
        self.seen: list[NDArray[np.float32]] = []

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(batch)
        return batch.repeat(2, axis=2).repeat(2, axis=3)


class Machine:
    """Stands for the table of backends; ``there`` holds the (backend, device) pairs that open."""

    def __init__(self) -> None:
        self.there = {("ncnn", "cpu"), ("onnx", "cpu"), ("torch", "cpu"), ("plug-in", "auto")}
        self.errors: dict[tuple[str, str], SrganError] = {}
        self.tried: list[tuple[str, str]] = []

    def load(self, name: str) -> Callable[..., FakeSession]:
        if name not in ("ncnn", "onnx", "torch", "plug-in"):
            raise InvalidConfig(f"no backend {name}")

        def opener(bundle: Bundle, *, device: str, precision: str, threads: int) -> FakeSession:
            self.tried.append((name, device))
            if error := self.errors.get((name, device)):
                raise error
            if (name, device) not in self.there:
                raise DeviceUnavailable(f"{name} finds no {device}")
            return FakeSession(bundle, name, device, precision, threads)

        return opener


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which nothing but the CPU is there, and which looks as if anything might be."""
    machine = Machine()
    monkeypatch.setattr(opening, "BACKENDS", machine)
    monkeypatch.setattr(opening, "may_have_cuda", lambda: True)
    monkeypatch.setattr(opening, "may_have_vulkan_gpu", lambda: True)
    monkeypatch.setattr(sys, "platform", "linux")
    return machine


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Bundle]:
    def make(*forms: str, info: ModelInfo = INFO) -> Bundle:
        files = {name: data for form in forms or FORMS for name, data in FORMS[form].items()}
        return write_bundle(tmp_path / "bundle", info, files)

    return make


def chosen(info: SessionInfo) -> tuple[str, str]:
    return info.backend, info.device


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ([], ("ncnn", "cpu")),
        ([("ncnn", "vulkan")], ("ncnn", "vulkan")),
        ([("ncnn", "vulkan"), ("onnx", "cuda")], ("onnx", "cuda")),
        ([("ncnn", "vulkan"), ("onnx", "cuda"), ("torch", "cuda")], ("torch", "cuda")),
        ([("torch", "mps")], ("ncnn", "cpu")),
    ],
)
def test_auto_takes_cuda_then_a_vulkan_gpu_then_the_cpu(
    machine: Machine, make: Callable[..., Bundle], extra: list[tuple[str, str]], expected: tuple[str, str]
) -> None:
    machine.there.update(extra)

    assert chosen(open_session(make()).info) == expected


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (("onnx",), ("onnx", "cpu")),
        (("torch",), ("torch", "cpu")),
        (("onnx", "torch"), ("onnx", "cpu")),
        (("ncnn", "torch"), ("ncnn", "cpu")),
    ],
)
def test_the_forms_of_the_bundle_limit_the_choice(
    machine: Machine, make: Callable[..., Bundle], forms: tuple[str, ...], expected: tuple[str, str]
) -> None:
    assert chosen(open_session(make(*forms)).info) == expected


def test_auto_asks_no_gpu_library_where_there_can_be_no_gpu(
    machine: Machine, make: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "may_have_cuda", lambda: False)
    monkeypatch.setattr(opening, "may_have_vulkan_gpu", lambda: False)

    open_session(make())

    assert machine.tried == [("ncnn", "cpu")]


def test_auto_goes_on_when_the_gpu_does_not_open_and_tells_in_the_log(
    machine: Machine, make: Callable[..., Bundle], caplog: pytest.LogCaptureFixture
) -> None:
    machine.errors["torch", "cuda"] = MissingDependency("torch", "train")

    with caplog.at_level("INFO", "srgan"):
        session = open_session(make())

    assert chosen(session.info) == ("ncnn", "cpu")
    assert machine.tried == [("torch", "cuda"), ("onnx", "cuda"), ("ncnn", "vulkan"), ("ncnn", "cpu")]
    assert "torch on cuda: torch is not installed" in caplog.text


@pytest.mark.parametrize(
    ("backend", "expected"), [("ncnn", ("ncnn", "cpu")), ("onnx", ("onnx", "cpu")), ("torch", ("torch", "cpu"))]
)
def test_a_named_backend_is_taken(
    machine: Machine, make: Callable[..., Bundle], backend: str, expected: tuple[str, str]
) -> None:
    assert chosen(open_session(make(), backend=backend).info) == expected


@pytest.mark.parametrize(
    ("device", "tried"),
    [
        ("cuda", [("torch", "cuda"), ("onnx", "cuda")]),
        ("cuda:1", [("torch", "cuda:1"), ("onnx", "cuda:1")]),
        ("vulkan:2", [("ncnn", "vulkan:2")]),
        ("mps", [("torch", "mps")]),
        ("tensorrt", [("onnx", "tensorrt")]),
        ("openvino:GPU", [("onnx", "openvino:GPU")]),
        ("gpu", [("torch", "cuda"), ("onnx", "cuda"), ("ncnn", "vulkan")]),
    ],
)
def test_a_named_device_is_never_replaced_by_another(
    machine: Machine, make: Callable[..., Bundle], device: str, tried: list[tuple[str, str]]
) -> None:
    with pytest.raises(DeviceUnavailable) as caught:
        open_session(make(), device=device)

    assert machine.tried == tried
    assert all(f"{name} finds no {place}" in str(caught.value) for name, place in tried)


def test_a_named_device_is_looked_for_although_it_seems_absent(
    machine: Machine, make: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "may_have_cuda", lambda: False)
    machine.there.add(("onnx", "cuda"))

    assert chosen(open_session(make(), device="cuda").info) == ("onnx", "cuda")


@pytest.mark.parametrize(("platform", "place"), [("darwin", "mps"), ("win32", "directml")])
def test_gpu_means_also_what_other_systems_have(
    machine: Machine, make: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch, platform: str, place: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    backend = {"mps": "torch", "directml": "onnx"}[place]
    machine.there.add((backend, place))

    assert chosen(open_session(make(), device="gpu").info) == (backend, place)
    assert chosen(open_session(make(), backend=backend).info) == (backend, place)
    assert chosen(open_session(make()).info) == ("ncnn", "cpu")


def test_the_one_reason_is_given_as_it_is(machine: Machine, make: Callable[..., Bundle]) -> None:
    machine.errors["onnx", "cpu"] = MissingDependency("onnxruntime", "onnx")

    with pytest.raises(MissingDependency, match=r"srgan\[onnx\]"):
        open_session(make(), backend="onnx", device="cpu")


def test_several_reasons_of_one_kind_keep_their_kind(machine: Machine, make: Callable[..., Bundle]) -> None:
    for backend in ("ncnn", "onnx", "torch"):
        machine.errors[backend, "cpu"] = InvalidConfig(f"{backend} has no fp16 here")

    with pytest.raises(InvalidConfig, match=r"ncnn has no fp16.*onnx has no fp16.*torch has no fp16"):
        open_session(make(), device="cpu", precision="fp16")


def test_several_missing_libraries_are_all_named(machine: Machine, make: Callable[..., Bundle]) -> None:
    machine.errors["onnx", "cpu"] = MissingDependency("onnxruntime", "onnx")
    machine.errors["torch", "cpu"] = MissingDependency("torch", "train")

    with pytest.raises(DeviceUnavailable, match=r"srgan\[onnx\].*srgan\[train\]"):
        open_session(make("onnx", "torch"), device="cpu")


def test_a_damaged_model_is_not_passed_over(machine: Machine, make: Callable[..., Bundle]) -> None:
    machine.errors["ncnn", "cpu"] = CorruptModel("broken")

    with pytest.raises(CorruptModel, match="broken"):
        open_session(make())


@pytest.mark.parametrize(
    ("forms", "asked", "message"),
    [
        (("onnx",), {"backend": "ncnn"}, r"tiny-x2 has no model.ncnn.param.*it has model.onnx"),
        (("ncnn",), {"device": "cuda"}, r"no model.onnx or weights.safetensors"),
        (("torch",), {"device": "vulkan"}, r"no model.ncnn.param"),
        (("ncnn",), {"device": "coreml"}, r"no model.onnx"),
    ],
)
def test_a_form_that_the_bundle_lacks(
    machine: Machine, make: Callable[..., Bundle], forms: tuple[str, ...], asked: dict[str, str], message: str
) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        open_session(make(*forms), **asked)
    assert machine.tried == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"device": "abacus"}, "no device 'abacus'. Choose one of: auto, cpu"),
        ({"device": "cuda:first"}, "'cuda:first' is not a device"),
        ({"device": "cpu:0"}, "'cpu:0' is not a device"),
        ({"device": "cuda:"}, "'cuda:' is not a device"),
        ({"backend": "ncnn", "device": "cuda"}, "ncnn backend has no device 'cuda'"),
        ({"backend": "torch", "device": "tensorrt"}, "torch backend has no device 'tensorrt'"),
        ({"backend": "steam"}, "no backend steam"),
        ({"precision": "fp8"}, "no precision 'fp8'"),
        ({"threads": -2}, "not -2"),
    ],
)
def test_what_makes_no_sense_is_refused(
    machine: Machine, make: Callable[..., Bundle], asked: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidConfig, match=message):
        open_session(make(), **asked)  # type: ignore[arg-type]


def test_precision_and_threads_reach_the_backend(machine: Machine, make: Callable[..., Bundle]) -> None:
    assert open_session(make(), precision="bf16", threads=3).info.precision == "bf16 3"


def test_a_plug_in_gets_what_the_user_wrote(machine: Machine, make: Callable[..., Bundle]) -> None:
    machine.there.add(("plug-in", "tpu:7"))

    assert chosen(open_session(make(), backend="plug-in").info) == ("plug-in", "auto")
    assert chosen(open_session(make(), backend="plug-in", device="tpu:7").info) == ("plug-in", "tpu:7")


def test_the_model_is_found_by_path(machine: Machine, make: Callable[..., Bundle]) -> None:
    info = open_session(make().path).info

    assert (info.model, info.scale, info.radius, info.multiple, info.minimum) == ("tiny-x2", 2, 3, 2, 4)
    with pytest.raises(ModelNotFound):
        open_session("no-such-model")


def test_another_value_range_is_hidden_from_the_caller(
    machine: Machine, make: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner: list[FakeSession] = []
    load = machine.load

    def spying(name: str) -> Callable[..., FakeSession]:
        def opener(bundle: Bundle, **options: object) -> FakeSession:
            inner.append(load(name)(bundle, **options))
            return inner[-1]

        return opener

    monkeypatch.setattr(machine, "load", spying)
    session = open_session(make(info=INFO.model_copy(update={"value_range": (-1.0, 1.0)})))
    batch = np.linspace(0, 1, 24, dtype=np.float32).reshape(1, 3, 2, 4)

    out = session.run(batch)

    np.testing.assert_allclose(inner[0].seen[0], batch * 2 - 1, atol=1e-6)
    np.testing.assert_allclose(out, batch.repeat(2, axis=2).repeat(2, axis=3), atol=1e-6)
    assert (out.dtype, session.info.scale) == (np.float32, 2)


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos", "bilinear", "nearest"])
@pytest.mark.parametrize(("scale", "factor"), [(None, 4), (3, 3), (2.5, 3), (0.5, 1)])
def test_a_kernel_instead_of_a_network(kernel: str, scale: float | None, factor: int) -> None:
    session = open_session(kernel, scale=scale)

    assert (session.info.model, session.info.backend, session.info.scale) == (kernel, "resize", factor)
    assert session.run(np.zeros((1, 3, 5, 4), np.float32)).shape == (1, 3, 5 * factor, 4 * factor)


def test_a_kernel_runs_on_the_cpu_by_resampling_only() -> None:
    with pytest.raises(UnsupportedModel, match="bicubic is plain resampling"):
        open_session("bicubic", backend="ncnn")
    with pytest.raises(DeviceUnavailable, match="CPU only"):
        open_session("bicubic", device="cuda")


def test_the_resize_backend_ignores_the_weights(make: Callable[..., Bundle]) -> None:
    info = open_session(make("onnx", info=INFO.model_copy(update={"value_range": (0.0, 255.0)})), backend="resize").info

    assert (info.model, info.scale, info.backend) == ("bicubic", 2, "resize")


def test_every_backend_of_the_table_can_be_imported() -> None:
    for name in BACKENDS.builtin:
        assert callable(BACKENDS.load(name))


def test_opening_loads_no_engine_but_the_one_it_opens() -> None:
    code = "import sys, srgan.runtime; print({'torch', 'onnxruntime', 'ncnn'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
