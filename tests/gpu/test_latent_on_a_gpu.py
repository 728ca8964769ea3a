"""A latent model on CUDA against the CPU: the same pictures of the same seed, in 32 and in 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from srgan.generation import LatentModel, noise_of
from srgan.imaging import to_uint8
from srgan.models import Bundle, ModelInfo, write_bundle

pytestmark = pytest.mark.gpu

OPTIONS: dict[str, dict[str, Any]] = {"netG1": {"z": 8, "width": 32, "coordinates": 24}, "netG2": {}, "netRS": {}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of the torch form only, which needs no converters."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from srgan.networks.export import SAFETENSORS, rounded, to_safetensors
    from srgan.networks.latent.deployed import build_deployed
    from srgan.networks.latent.export import latent_facts

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        networks = {role: build_deployed(role, **options) for role, options in OPTIONS.items()}
        for network in networks.values():
            for weight in network.parameters():
                weight.copy_(0.7 * torch.randn(weight.shape) * max(1, weight[0].numel()) ** -0.5)
    parts = {role: rounded(network, "tiny") for role, network in networks.items()}
    states = {f"{role}.{key}": value for role, part in parts.items() for key, value in part.state_dict().items()}
    facts = latent_facts(parts["netG1"], parts["netG2"], parts["netRS"])
    info = ModelInfo(name="tiny", network_options=OPTIONS, **facts)
    return write_bundle(tmp_path_factory.mktemp("latent") / "tiny", info, {SAFETENSORS: to_safetensors(states, {})})


@pytest.mark.parametrize(("precision", "steps"), [("fp32", 1), ("fp16", 3)])
def test_pictures_of_a_seed_are_the_same(model: Bundle, precision: str, steps: int) -> None:
    noise = np.stack([noise_of(5, number, 8) for number in range(4)])
    with LatentModel(model, backend="torch", device="cpu") as here:
        wanted, codes = here.decode(here.codes(noise)), here.encode(here.decode(here.codes(noise)))
    with LatentModel(model, backend="torch", device="cuda", precision=precision) as there:
        made, again = there.decode(there.codes(noise)), there.encode(wanted)
        assert (there.ran_on.device, there.ran_on.precision) == ("cuda:0", precision)

    assert wanted.std() > 0.05
    assert np.abs(to_uint8(made).astype(int) - to_uint8(wanted)).max() <= steps
    assert np.abs(again - codes).max() < {"fp32": 1e-3, "fp16": 0.05}[precision]
