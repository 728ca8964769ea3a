"""An ensemble through every backend: each output equals torch's, and no more is computed than it needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan.errors import CorruptModel, InvalidConfig, OutOfMemory, UnsupportedModel
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.models.bundle import NCNN_PARAM, ONNX, SAFETENSORS
from srgan.runtime import open_session
from srgan.runtime.onnxgraph import keep_outputs

torch = pytest.importorskip("torch")
for library in ("onnx", "onnxruntime", "pnnx", "safetensors"):
    pytest.importorskip(library)

from srgan.networks import build, export  # noqa: E402 - after the skips
from srgan.networks.ensemble import OUTPUTS  # noqa: E402
from srgan.networks.export import export_forms  # noqa: E402

BACKENDS = ("torch", "onnx", "ncnn")
OPTIONS: dict[str, Any] = {
    "member": {"network": "turbo", "width": 16, "depth": 1},
    "count": 3,
    "weights": [0.5, 0.125, 0.375],
    "fusion": True,
    "soup": True,
}


def made_up(seed: int = 4) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build("ensemble", 2, **OPTIONS)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return network


def described(network: Any, **changes: Any) -> ModelInfo:
    fields = {
        "name": "several-x2",
        "network": "ensemble",
        "network_options": OPTIONS,
        "outputs": network.outputs,
        "scale": 2,
        "radius": network.radius,
        "multiple": network.multiple,
    }
    return ModelInfo(**{**fields, **changes})


@pytest.fixture(scope="module")
def network() -> Any:
    return made_up()


@pytest.fixture(scope="module")
def bundle(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    info = described(network)
    return write_bundle(tmp_path_factory.mktemp("bundles") / "several", info, export_forms(network, info))


@pytest.fixture(scope="module")
def batch() -> Any:
    return np.random.default_rng(3).random((2, 3, 26, 38), np.float32)


@pytest.fixture(scope="module")
def wanted(bundle: Bundle, batch: Any) -> dict[str, Any]:
    """What the stored weights give, output by output, without a session."""
    from safetensors.torch import load

    network = build("ensemble", 2, **OPTIONS).deploy()
    network.load_state_dict(load(bundle.read(SAFETENSORS)))
    with torch.no_grad():
        return dict(zip(OUTPUTS, (picture.numpy() for picture in network.eval()(torch.from_numpy(batch))), strict=True))


# ------------------------------------------------------------------------------------------------- the sessions


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_in_every_backend(bundle: Bundle, batch: Any, wanted: Any, backend: str, name: str) -> None:
    session = open_session(bundle, backend=backend, device="cpu", output=name)

    got = session.run(batch)

    assert session.info.outputs == (name,)
    assert got.shape == wanted[name].shape
    assert np.abs(got - wanted[name]).max() < 2e-4


def test_the_outputs_differ(wanted: dict[str, Any]) -> None:
    pictures = [wanted[name] for name in OUTPUTS if name != "members"]

    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            assert np.abs(one - other).max() > 2e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_outputs_at_once_come_one_after_the_other(bundle: Bundle, batch: Any, wanted: Any, backend: str) -> None:
    session = open_session(bundle, backend=backend, device="cpu", output=("median", "members"))

    got = session.run(batch)

    assert session.info.outputs == ("median", "members")
    assert np.abs(got - np.concatenate([wanted["median"], wanted["members"]], axis=1)).max() < 2e-4


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_a_wish_it_is_the_first(bundle: Bundle, batch: Any, wanted: Any, backend: str) -> None:
    session = open_session(bundle, backend=backend, device="cpu")

    assert session.info.outputs == ("mean",)
    assert np.abs(session.run(batch) - wanted["mean"]).max() < 2e-4


def test_bands_hold_all_outputs(bundle: Bundle) -> None:
    """Large enough for a band on each of two threads."""
    picture = np.random.default_rng(5).random((1, 3, 300, 40), np.float32)
    names = ("mean", "members")

    one, two = (open_session(bundle, backend="ncnn", device="cpu", threads=n, output=names) for n in (1, 2))

    assert np.abs(one.run(picture) - two.run(picture)).max() < 2e-4


def test_a_model_with_another_range_is_seen_in_ours(network: Any, batch: Any, wanted: Any, tmp_path: Path) -> None:
    info = described(network, value_range=(0.0, 255.0))
    forms = {SAFETENSORS: export_forms(network, described(network))[SAFETENSORS]}
    session = open_session(write_bundle(tmp_path / "b", info, forms), backend="torch", device="cpu", output="members")

    assert session.run(batch).shape == wanted["members"].shape


# ---------------------------------------------------------------------------------------------------- no more work


def test_onnx_runtime_gets_only_the_nodes_it_needs(bundle: Bundle) -> None:
    import onnx

    whole = onnx.load_from_string(bundle.read(ONNX))
    soup = onnx.load_from_string(keep_outputs(bundle.read(ONNX), ["soup"]))

    onnx.checker.check_model(soup, full_check=True)
    assert [output.name for output in soup.graph.output] == ["soup"]
    assert _convolutions(soup) == 3
    assert _convolutions(whole) == 4 * 3 + 4 + 2  # four networks, the fusion's layers, and the low-pass
    assert len(soup.SerializeToString()) < len(whole.SerializeToString()) / 3


def _convolutions(model: Any) -> int:
    return sum(node.op_type == "Conv" for node in model.graph.node)


def test_ncnn_computes_only_what_is_asked_for(bundle: Bundle, batch: Any, network: Any, tmp_path: Path) -> None:
    """A graph whose fusion cannot run still gives the soup."""
    files = {name: bundle.read(name) for name in bundle.info.files}
    graph, found = re.subn(r"^Softmax(.*?) 0=.*$", r"PixelShuffle\1 0=1000", files[NCNN_PARAM].decode(), flags=re.M)
    broken = write_bundle(tmp_path / "broken", described(network), {**files, NCNN_PARAM: graph.encode()})

    def run(model: Bundle, name: str) -> Any:
        return open_session(model, backend="ncnn", device="cpu", output=name).run(batch)

    assert found == 1
    assert np.array_equal(run(broken, "soup"), run(bundle, "soup"))
    with pytest.raises(OutOfMemory):
        run(broken, "fusion")


# ------------------------------------------------------------------------------------------------------- refusals


def test_a_strategy_that_the_bundle_does_not_have(bundle: Bundle) -> None:
    complaint = (
        "several-x2 has no strategy 'mode'. Choose one of: mean, median, weighted, frequency, fusion, soup, fidelity"
    )
    with pytest.raises(InvalidConfig) as caught:
        open_session(bundle, output="mode")

    assert str(caught.value) == complaint


def test_forms_that_do_not_have_what_the_description_states(bundle: Bundle, network: Any, tmp_path: Path) -> None:
    files = {name: bundle.read(name) for name in bundle.info.files}
    info = described(network, outputs=("mean", "mode"))
    wrong = write_bundle(tmp_path / "wrong", info, files)

    with pytest.raises(CorruptModel, match=r"model.onnx is damaged: it has no output mode"):
        open_session(wrong, backend="onnx", device="cpu", output="mode")
    with pytest.raises(CorruptModel, match=r"must have the input in0 and the output out0, out1 and no others"):
        open_session(wrong, backend="ncnn", device="cpu")
    with pytest.raises(InvalidConfig, match="there is no output mode"):
        open_session(wrong, backend="torch", device="cpu", output="mode")


def test_a_plain_network_that_is_said_to_give_several(bundle: Bundle, tmp_path: Path) -> None:
    network = build("fast", 2, width=16, blocks=1)
    info = ModelInfo(name="one", network="fast", network_options={"width": 16, "blocks": 1}, scale=2, radius=5)
    forms = export_forms(network, info)
    wrong = write_bundle(tmp_path / "wrong", info.model_copy(update={"outputs": ("mean", "members")}), forms)

    with pytest.raises(CorruptModel, match="states several outputs, but the network 'fast' has one"):
        open_session(wrong, backend="torch", device="cpu")


def test_an_output_that_a_form_gets_wrong_is_named(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = export.run_onnx

    def off(*given: Any) -> Any:
        made = real(*given)
        made[OUTPUTS.index("frequency")] = made[OUTPUTS.index("frequency")] + 1 / 255
        return made

    monkeypatch.setattr(export, "run_onnx", off)

    with pytest.raises(UnsupportedModel, match=r"several-x2: model.onnx \(frequency\) differs from the network by"):
        export_forms(network, described(network))


def test_a_description_without_the_outputs_is_refused(network: Any) -> None:
    with pytest.raises(UnsupportedModel, match=r"says outputs \(\), but the network has \('mean', "):
        export_forms(network, described(network, outputs=()))
