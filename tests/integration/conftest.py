"""Bundles of real networks with seeded weights, exported once for all integration tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.models import Bundle, ModelInfo, write_bundle

SHORTER: dict[str, dict[str, Any]] = {
    "srresnet": {"blocks": 2},
    "quality": {"blocks": 2},
    "balanced": {"blocks": 2},
    "refiner": {"width": 8, "deep": 8},
}
"""Options that leave out repetitions of the same block, or make it narrower, to save time."""


def scatter(network: Any, seed: int = 7) -> None:
    """Give every parameter and statistic of ``network`` a seeded value, so that none stays at the zero it starts from.

    The gains keep the output about [0, 1], where a difference shows after rounding.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + noise.abs())
        elif tensor.ndim > 1:
            gain = {"head": 0.3, "output": 3.0}.get(name.split(".")[0], 0.7)
            tensor.copy_(noise * gain * tensor[0].numel() ** -0.5)
        elif name == "output.bias":
            tensor.fill_(0.5)
        else:
            tensor.copy_(tensor + 0.05 * noise)


def describe(network: Any, name: str, scale: int, options: dict[str, Any]) -> ModelInfo:
    return ModelInfo(
        name=f"{name}-x{scale}",
        family=name,
        network=name,
        network_options=options,
        scale=scale,
        channels=network.channels,
        radius=network.radius,
        multiple=network.multiple,
        licence="MIT",
    )


@pytest.fixture
def pickles_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch files are read in this process, by the same code: another one with torch in it takes seconds to start.

    ``networks/test_pickled.py`` has the tests of that process.
    """
    pytest.importorskip("torch")
    from srgan.networks import pickled

    def run(command: list[str], folder: str) -> str:
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(ImportError):
            patch.setattr("resource.setrlimit", lambda *_: None)
            try:
                pickled.main(*command[-2:])
            except SystemExit as end:
                return str(end)
        return ""

    monkeypatch.setattr(pickled, "_run", run)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Bundle]:
    """``exported(name, scale)`` is a bundle of that network with all its forms."""
    for library in ("torch", "onnx", "onnxruntime", "pnnx", "safetensors"):
        pytest.importorskip(library)
    import torch

    from srgan.networks import build
    from srgan.networks.export import export_forms

    folder: Path = tmp_path_factory.mktemp("bundles")
    made: dict[tuple[str, int], Bundle] = {}

    def exported(name: str, scale: int) -> Bundle:
        if (name, scale) not in made:
            options = SHORTER.get(name, {})
            with torch.random.fork_rng(devices=[]):
                network = build(name, scale, **options)
            scatter(network)
            info = describe(network, name, scale, options)
            made[name, scale] = write_bundle(folder / info.name, info, export_forms(network, info))
        return made[name, scale]

    return exported
