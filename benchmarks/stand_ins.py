"""Models to measure: the one that is shipped, or else the same network with random weights, which is as fast."""

from __future__ import annotations

from pathlib import Path

from srgan.errors import ModelNotFound
from srgan.models import Bundle, ModelInfo, find_model, write_bundle

SCALE = 4


def shipped_or_random(name: str, folder: Path) -> tuple[Bundle, bool]:
    """The x4 model of the family ``name``, and whether its weights are random.

    One with random weights is written to ``folder`` (or found there from an earlier call), which takes torch and the
    converters of the `train` extra; `ImportError` where they are missing.
    """
    try:
        return find_model(name, SCALE), False
    except ModelNotFound:
        pass
    target = folder / f"{name}-random"
    try:
        return Bundle.open(target), True
    except ModelNotFound:
        return _write_random(name, target), True


def _write_random(name: str, target: Path) -> Bundle:
    import torch

    from srgan.networks import build
    from srgan.networks.export import export_forms
    from srgan.networks.network import costs

    torch.manual_seed(0)
    network = build(name, SCALE).eval()
    plain = network.deploy()
    macs, working = costs(plain)
    info = ModelInfo(
        name=target.name,
        network=name,
        scale=SCALE,
        radius=network.radius,
        multiple=network.multiple,
        parameters=sum(parameter.numel() for parameter in plain.parameters()),
        macs_per_pixel=macs,
        working_bytes_per_pixel=working,
    )
    return write_bundle(target, info, export_forms(network, info))
