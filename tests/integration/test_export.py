"""Every form of a model: complete, small, described, and refused when it does not compute what the network computes."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan.errors import MissingDependency, UnsupportedModel
from srgan.models import Bundle, ModelInfo
from srgan.models.bundle import KNOWN_FILES, NCNN_BIN, NCNN_PARAM, ONNX, SAFETENSORS

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("pnnx")
pytest.importorskip("safetensors")

from safetensors import safe_open  # noqa: E402 - after the skips
from safetensors.torch import load  # noqa: E402

from srgan.networks import build, export  # noqa: E402
from srgan.networks.export import export_forms  # noqa: E402

Exported = Callable[[str, int], Bundle]
OPTIONS = {"width": 16, "blocks": 1}


def tiny() -> Any:
    """A `fast` network with one block and seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = build("fast", 2, **OPTIONS)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return network


def info(**changes: Any) -> ModelInfo:
    fields = {
        "name": "tiny-x2",
        "network": "fast",
        "network_options": OPTIONS,
        "scale": 2,
        "radius": 5,
        "licence": "MIT",
    }
    return ModelInfo(**{**fields, **changes})


@pytest.fixture
def network() -> Any:
    return tiny()


@pytest.fixture(scope="module")
def forms() -> dict[str, bytes]:
    """All forms of that network."""
    return export_forms(tiny(), info())


def test_all_forms_are_there_under_the_names_of_a_bundle(forms: dict[str, bytes]) -> None:
    assert set(forms) == set(KNOWN_FILES)
    assert (export.NCNN_PARAM, export.NCNN_BIN, export.ONNX, export.SAFETENSORS) == KNOWN_FILES


def test_each_form_stores_a_weight_in_two_bytes(exported: Exported) -> None:
    bundle = exported("turbo", 4)
    weights = sum(tensor.numel() for tensor in load(bundle.read(SAFETENSORS)).values())

    for name in (NCNN_BIN, ONNX, SAFETENSORS):
        assert 2 * weights <= len(bundle.read(name)) < 2.1 * weights, name


def test_the_network_itself_is_left_alone(network: Any) -> None:
    before = copy.deepcopy(network.state_dict())
    network.train()

    export_forms(network, info())

    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_program_keeps_its_random_numbers(network: Any) -> None:
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)

    export_forms(network, info())

    assert torch.equal(torch.rand(3), wanted)


def test_the_same_network_gives_the_same_bytes(network: Any, forms: dict[str, bytes]) -> None:
    again = export_forms(network, info())

    assert {name: data for name, data in again.items() if data != forms[name]} == {}


# ------------------------------------------------------------------------------------------------- the forms


def test_the_trainable_form_fits_the_deployed_network(network: Any, forms: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(forms[SAFETENSORS])
    with safe_open(path, "pt") as file:
        notes = file.metadata()
    deployed = network.deploy().state_dict()
    stored = load(forms[SAFETENSORS])

    assert notes == {"format": "pt", "name": "tiny-x2", "network": "fast", "scale": "2", "licence": "MIT"}
    assert set(stored) == set(deployed)
    for name, tensor in stored.items():
        assert tensor.dtype == torch.float16
        torch.testing.assert_close(tensor.float(), deployed[name], atol=6.2e-5, rtol=5e-4)


def test_an_expanded_network_is_exported_collapsed() -> None:
    with torch.random.fork_rng(devices=[]):
        expanded = build("fast", 2, **OPTIONS, expanded=True)

    stored = load(export_forms(expanded, info(network_options={**OPTIONS, "expanded": True}))[SAFETENSORS])

    assert set(stored) == set(build("fast", 2, **OPTIONS).state_dict())


def test_the_onnx_form_is_valid_dynamic_and_described(forms: dict[str, bytes]) -> None:
    model = onnx.load_from_string(forms[ONNX])
    onnx.checker.check_model(model, full_check=True)

    assert [opset.version for opset in model.opset_import] == [17]
    (taken,), (given,) = model.graph.input, model.graph.output
    sides = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (taken, given)]
    assert (taken.name, sides[0]) == ("input", ["count", 3, "height", "width"])
    assert (given.name, sides[1][0]) == ("output", "count")
    assert {prop.key: prop.value for prop in model.metadata_props} == {
        "name": "tiny-x2",
        "network": "fast",
        "scale": "2",
        "multiple": "1",
        "radius": "5",
        "licence": "MIT",
    }


def test_the_onnx_form_computes_in_32_bits_from_weights_in_16(forms: dict[str, bytes]) -> None:
    graph = onnx.load_from_string(forms[ONNX]).graph
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    stored = {tensor.name: tensor for tensor in graph.initializer}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in stored]

    assert {node.attribute[0].i for node in casts} == {single}
    for tensor in stored.values():
        size = int(np.prod(tensor.dims))
        assert tensor.data_type == (half if size >= 64 else single) or tensor.data_type == onnx.TensorProto.INT64
    assert {node.input[0] for node in casts} == {t.name for t in stored.values() if t.data_type == half}
    # The bundle may be loaded from any folder: nothing lies outside of the file.
    assert not any(tensor.external_data for tensor in stored.values())


def test_equal_weights_are_read_directly_in_the_onnx_form(network: Any) -> None:
    """The exporter stores equal tensors once, behind Identity nodes that some engines do not fold."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()

    graph = onnx.load_from_string(export_forms(network, info())[ONNX]).graph

    assert len([tensor for tensor in graph.initializer if list(tensor.dims) == [16]]) == 1
    assert "Identity" not in {node.op_type for node in graph.node}


def test_the_ncnn_form_has_the_names_that_the_runtime_asks_for(forms: dict[str, bytes]) -> None:
    lines = forms[NCNN_PARAM].decode().splitlines()

    assert lines[0] == "7767517"
    assert lines[2].split()[-1] == "in0"
    assert lines[-1].split()[5 + 1] == "out0"
    assert "pnnx.Expression" not in forms[NCNN_PARAM].decode()


def test_numbers_too_small_for_16_bits_become_zero_in_every_form(network: Any) -> None:
    with torch.no_grad():
        network.stem.weight[:] = 3e-5
        network.stem.weight[0, 0, 0, 0] = 0.5

    stem = load(export_forms(network, info())[SAFETENSORS])["stem.weight"]

    assert stem[0, 0, 0, 0] == 0.5
    assert int(stem.count_nonzero()) == 1


# ------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("value", [7e4, float("inf"), float("nan")])
def test_a_weight_that_16_bits_cannot_hold(network: Any, value: float) -> None:
    with torch.no_grad():
        network.stem.weight[0, 0, 1, 1] = value

    with pytest.raises(UnsupportedModel, match=r"tiny-x2: stem.weight has values that are not finite, or too large"):
        export_forms(network, info())


@pytest.mark.parametrize(("field", "value"), [("scale", 3), ("radius", 4), ("multiple", 2), ("channels", 1)])
def test_a_description_of_another_network(network: Any, field: str, value: int) -> None:
    with pytest.raises(UnsupportedModel, match=f"says {field} {value}, but the network has"):
        export_forms(network, info(**{field: value}))


def test_options_of_another_network(network: Any) -> None:
    with pytest.raises(UnsupportedModel, match="not for the network described"):
        export_forms(network, info(network_options={"width": 16, "blocks": 2}))


@pytest.mark.parametrize(
    ("function", "form"), [("to_safetensors", SAFETENSORS), ("to_onnx", ONNX), ("to_ncnn", NCNN_BIN)]
)
def test_a_wrong_form_is_never_returned(
    network: Any, monkeypatch: pytest.MonkeyPatch, function: str, form: str
) -> None:
    """The export of a network whose last bias is another by one part in 255 must not pass for this one's."""
    write = getattr(export, function)

    def wrong(written: Any, *more: Any) -> Any:
        other = copy.deepcopy(written)
        weights = other if form == SAFETENSORS else other.module.state_dict()
        weights["head.conv.bias"] += 1 / 255
        return write(other, *more)

    monkeypatch.setattr(export, function, wrong)

    with pytest.raises(UnsupportedModel, match=f"{form} differs from the network by 0.0039"):
        export_forms(network, info())


def test_a_network_whose_output_is_not_a_number(network: Any) -> None:
    class Undefined(type(network)):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return super().forward(x) * (x.sum() - x.sum()).log()

    network.__class__ = Undefined

    with pytest.raises(UnsupportedModel, match="values that are not finite"):
        export_forms(network, info())


def test_what_pnnx_cannot_convert_is_told_with_its_own_words(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: list[str], **_: Any) -> Any:
        return subprocess.CompletedProcess(command, 0, stdout="no idea what aten::sorcery is", stderr=None)

    monkeypatch.setattr(export.subprocess, "run", fails)

    with pytest.raises(UnsupportedModel, match="pnnx cannot convert the network:\nno idea what aten::sorcery is"):
        export_forms(network, info())


def test_a_converter_that_hangs(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(command: list[str], **options: Any) -> Any:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(export.subprocess, "run", hangs)

    with pytest.raises(UnsupportedModel, match="pnnx did not finish in 600 seconds"):
        export_forms(network, info())


@pytest.mark.parametrize("library", ["onnx", "pnnx", "onnxruntime", "safetensors.torch"])
def test_a_missing_library(network: Any, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)

    with pytest.raises(MissingDependency, match=r"srgan\[train\]"):
        export_forms(network, info())


def test_nothing_is_left_behind_and_nothing_is_said(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    export_forms(network, info())

    assert list(tmp_path.iterdir()) == []
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
