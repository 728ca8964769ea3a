"""A real network with seeded weights, exported once for all tests on a GPU."""

from __future__ import annotations

from typing import Any

import pytest

from srgan.models import Bundle, ModelInfo, write_bundle


@pytest.fixture(scope="session", params=["turbo", "fast", "balanced", "quality", "srresnet"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of each network at x4. Where pnnx or onnx are missing it has the torch form only."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from srgan.networks import build

    name = request.param
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        network = build(name, 4)
        for parameter in network.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape))
    info = ModelInfo(
        name=f"{name}-x4", network=name, scale=4, radius=network.radius, multiple=network.multiple, licence="MIT"
    )
    return write_bundle(tmp_path_factory.mktemp(name) / name, info, _forms(network, info))


def _forms(network: Any, info: ModelInfo) -> dict[str, bytes]:
    from srgan.errors import MissingDependency
    from srgan.networks import export

    try:
        return export.export_forms(network, info)
    except MissingDependency:
        weights = export.rounded(network.deploy(), info.name).state_dict()
        return {export.SAFETENSORS: export.to_safetensors(weights, {"name": info.name})}
