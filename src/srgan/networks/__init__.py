"""Trainable networks, one file per architecture. `build` makes one by name; `NETWORKS` lists them.

Every network takes and gives float pictures N x 3 x H x W in [0, 1] and has

    scale      the output is this many times larger
    radius     receptive radius in input pixels
    multiple   height and width of the input must be multiples of this
    channels   colour channels in and out
    deploy()   a copy for inference: batch norms folded and training-time branches collapsed, the same function
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from srgan.errors import InvalidConfig
from srgan.plugins import Table

if TYPE_CHECKING:
    from srgan.networks.network import Network

NETWORKS = Table(
    "srgan.networks",
    "network",
    {
        "srresnet": "srgan.networks.srresnet:SRResNet",
        "turbo": "srgan.networks.residual:turbo",
        "fast": "srgan.networks.residual:fast",
        "balanced": "srgan.networks.span:balanced",
        "quality": "srgan.networks.residual:quality",
        "plain": "srgan.networks.plain:plain",
        "refiner": "srgan.networks.latent.refiner:refiner",
        "origin-refiner": "srgan.networks.latent.origin:origin_refiner",
        "ensemble": "srgan.networks.ensemble:EnsembleNetwork",
    },
)


def build(name: str, scale: int, /, **options: Any) -> Network:
    """Build the network ``name`` with fresh weights. ``options`` are the arguments that the architecture documents.

    Raises `InvalidConfig` for an unknown name, a scale it does not come in, or options that it does not have.
    """
    from srgan.networks.network import check_options

    maker = NETWORKS.load(name)
    check_options(f"network {name!r}", maker, options)
    try:
        network: Network = maker(scale=scale, **options)
    except TypeError as error:
        raise InvalidConfig(f"network {name!r}: {error}") from error
    return network


__all__ = ["NETWORKS", "build"]
