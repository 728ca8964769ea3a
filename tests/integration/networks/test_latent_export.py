"""A latent model in all its forms: the same on every backend, at any size, and refused when it is not described."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for library in ("torch", "onnx", "onnxruntime", "pnnx", "safetensors"):
    pytest.importorskip(library)

import torch  # noqa: E402
from torch import nn  # noqa: E402

from srgan.errors import UnsupportedModel  # noqa: E402
from srgan.models import Bundle, ModelInfo, write_bundle  # noqa: E402
from srgan.models.bundle import PARTS, known_files  # noqa: E402
from srgan.networks.latent import build_part, export  # noqa: E402
from srgan.networks.latent.deployed import build_deployed, deployed  # noqa: E402
from srgan.networks.latent.export import latent_facts, latent_forms  # noqa: E402
from srgan.runtime import open_session  # noqa: E402

SMALL: dict[str, dict[str, dict[str, Any]]] = {
    "origin": {"netG1": {"z": 6, "width": 4}, "netG2": {"width": 4}, "netRS": {"width": 4}},
    "narrow": {
        "netG1": {"z": 6, "width": 12, "coordinates": 10},
        "netG2": {"widths": (8, 8, 8), "finest": 8},
        "netRS": {"widths": (8, 8, 8)},
    },
}
FORMS = tuple(SMALL)
Networks = tuple[nn.Module, nn.Module, nn.Module]


def scattered(form: str) -> Networks:
    """Generator, decoder and encoder in evaluation mode, no weight or statistic at the value it starts from."""
    generator = torch.Generator().manual_seed(4)
    made = []
    with torch.random.fork_rng(devices=[]):
        for role, options in SMALL[form].items():
            network = build_part(role, form, **options).eval()
            for name, tensor in network.state_dict().items():
                if tensor.is_floating_point():
                    noise = torch.randn(tensor.shape, generator=generator)
                    if name.endswith(("running_var", "root")):
                        tensor.copy_(0.4 + noise.abs())
                    elif tensor.ndim > 1:
                        tensor.copy_(noise * 0.7 * tensor[0].numel() ** -0.5)
                    else:
                        tensor.copy_(tensor + 0.1 * noise)
            made.append(network)
    return made[0], made[1], made[2]


def described(form: str, networks: Networks, **changes: Any) -> ModelInfo:
    options = {role: {"form": form, **given} for role, given in SMALL[form].items()}
    return ModelInfo(**{"name": "tiny", "network_options": options, **latent_facts(*networks), **changes})


@pytest.fixture(scope="module", params=FORMS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Networks]:
    """A bundle of all forms, and the networks that it was made of."""
    networks = scattered(request.param)
    info = described(request.param, networks)
    forms = latent_forms(*networks, info)
    assert set(forms) == set(known_files(info))
    return write_bundle(tmp_path_factory.mktemp("latent") / "tiny", info, forms), networks


def test_every_backend_gives_the_same(bundle: tuple[Bundle, Networks]) -> None:
    """Codes and pictures, at sizes that none was made at, and within what 16 bits cost of the trained networks."""
    model, (generator, decoder, encoder) = bundle
    random = np.random.default_rng(2)
    inputs = {
        "generator": random.standard_normal((3, 6, 1, 1)).astype(np.float32),
        "decoder": random.standard_normal((2, 64, 7, 4)).astype(np.float32),
        "encoder": random.random((2, 3, 16, 112)).astype(np.float32),
    }
    with torch.no_grad():
        wanted = {
            "generator": generator(torch.from_numpy(inputs["generator"][:, :, 0, 0])),
            "decoder": decoder(torch.from_numpy(inputs["decoder"])),
            "encoder": encoder(torch.from_numpy(inputs["encoder"])),
        }
    for part, given in inputs.items():
        made = [open_session(model.part(part), backend=b, device="cpu").run(given) for b in ("torch", "onnx", "ncnn")]
        for other in made[1:]:
            assert np.abs(other - made[0]).max() < 2e-4, part
        assert made[0].shape == wanted[part].shape
        assert made[0].std() > 0.05
        assert np.abs(made[0] - wanted[part].numpy()).max() < 4e-3, part


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near(bundle: tuple[Bundle, Networks], dtype: torch.dtype) -> None:
    """All sums in 16 bits, as no engine does it: fp16 within 1/255 of a picture, bf16 within a few."""
    _, (generator, decoder, _) = bundle
    parts = [deployed(generator), deployed(decoder)]
    noise = torch.randn(4, 6, 1, 1, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        wanted = parts[1](parts[0](noise))
        made = parts[1].to(dtype)(parts[0].to(dtype)(noise.to(dtype))).float()

    assert (made - wanted).abs().max() < {torch.float16: 1, torch.bfloat16: 12}[dtype] / 255


def test_a_weight_takes_two_bytes(bundle: tuple[Bundle, Networks]) -> None:
    model, _ = bundle
    weights = model.info.parameters

    assert 2 * weights <= len(model.read("weights.safetensors")) < 2 * weights + 12_000
    for kind in ("onnx", "ncnn.bin"):
        assert 2 * weights <= sum(len(model.read(f"{part}.{kind}")) for part in PARTS) < 2.2 * weights + 12_000


@pytest.mark.parametrize("form", FORMS)
def test_a_deployed_part_computes_the_same_and_has_no_norms(form: str) -> None:
    generator, decoder, encoder = scattered(form)
    codes = torch.randn(2, 64, 3, 5, generator=torch.Generator().manual_seed(1))
    noise, pictures = codes[:, :6, 0, 0], torch.rand(2, 3, 48, 32)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}

    with torch.no_grad():
        torch.testing.assert_close(deployed(generator)(noise[:, :, None, None]), generator(noise), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(deployed(decoder)(codes), decoder(codes), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(deployed(encoder)(pictures), encoder(pictures), atol=1e-5, rtol=1e-5)
    for role, network in (("netG1", generator), ("netG2", decoder), ("netRS", encoder)):
        plain = deployed(network)
        assert not any(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in plain.modules())
        assert deployed(plain).state_dict().keys() == plain.state_dict().keys()
        assert build_deployed(role, form=form, **SMALL[form][role]).state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())


def test_building_leaves_the_random_numbers() -> None:
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)

    build_deployed("netG1", **SMALL["narrow"]["netG1"])

    assert torch.equal(torch.rand(3), wanted)


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent": None}, "does not say that this is a latent model"),
        ({"network": "fast"}, "does not say that this is a latent model"),
        ({"latent": {"noise": 6, "code": (32, 4, 4), "side": 64}}, r"says code \(32, 4, 4\) and side 64, but"),
        ({"latent": {"noise": 7, "code": (64, 4, 4), "side": 64}}, r"\(generator\): the network does not take"),
        ({"network_options": {"netG1": {"z": 6, "width": 9}}}, "the weights are not for the network described"),
    ],
)
def test_a_description_of_another_model(changes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = scattered("narrow")
    monkeypatch.setattr(export, "to_ncnn", lambda subject: (b"", b""))  # the slow one, which is not reached or not used

    with pytest.raises(UnsupportedModel, match=said):
        latent_forms(*networks, described("narrow", networks, **changes))


def test_a_network_in_the_place_of_another() -> None:
    generator, decoder, encoder = scattered("narrow")

    with pytest.raises(UnsupportedModel, match=r"\(decoder\): the network does not take what it should"):
        export._forms_of("decoder", deployed(encoder), described("narrow", (generator, decoder, encoder)), b"")


@pytest.mark.parametrize("writer", ["to_onnx", "to_ncnn"])
def test_a_wrong_form_is_never_returned(writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = scattered("narrow")
    write = getattr(export, writer)

    def wrong(subject: Any) -> Any:
        other = copy.deepcopy(subject)
        other.module[-1].bias += 0.01
        return write(other)

    monkeypatch.setattr(export, writer, wrong)

    with pytest.raises(UnsupportedModel, match=r"\(generator\): generator\.\S+ differs from the network by 0.01"):
        latent_forms(*networks, described("narrow", networks))


def test_a_weight_that_16_bits_cannot_hold() -> None:
    networks = scattered("narrow")
    with torch.no_grad():
        networks[1].head.bias[0] = 1e6  # type: ignore[index, union-attr]

    with pytest.raises(UnsupportedModel, match=r"tiny \(decoder\): head.bias has values that are not finite, or too"):
        latent_forms(*networks, described("narrow", networks))


def test_weights_of_a_damaged_bundle(tmp_path: Path) -> None:
    networks = scattered("narrow")
    info = described("narrow", networks)
    states = {f"netG2.{key}": value for key, value in deployed(networks[1]).state_dict().items()}
    files = {"weights.safetensors": export.to_safetensors(states, {})}
    bundle = write_bundle(tmp_path / "tiny", info, files)

    assert open_session(bundle.part("decoder"), backend="torch").run(np.zeros((1, 64, 4, 4), np.float32)).shape[1] == 3
    with pytest.raises(Exception, match=r"weights\.safetensors is not for the network 'netG1'"):
        open_session(bundle.part("generator"), backend="torch")
