"""The networks of the two-stage latent GAN (AEGAN), by the names that its origin gave them.

    netRS      encoder: a picture to its code, the embedding
    netG2      decoder: a code back to the picture
    netG1      latent generator: noise to a code
    netD1      latent critic: a code to a score
    RefinerG   a picture of 64 pixels to one of 512, and any picture to one 8 times larger
    RefinerD   critic of enlarged pictures

A picture is N x 3 x H x W in [0, 1]; with 64 pixels a side its code is N x `CODE`, about 0 and of about unit variance;
noise is N x z, standard normal. Each role comes in two forms: ``origin`` is what the origin describes, and ``narrow``
is what trains on a processor in an hour. `build_part` makes either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from srgan.errors import InvalidConfig
from srgan.plugins import Table

if TYPE_CHECKING:
    from torch import nn

CODE = (64, 4, 4)
"""Channels, height and width of the code of a picture of `SIDE` pixels."""
SIDE = 64
"""Side of the pictures that the latent GAN makes, in pixels."""
REDUCTION = SIDE // CODE[1]
"""So many pixels a side share one place of the code."""

PARTS = {
    "netRS": Table(
        "srgan.latent.netRS",
        "netRS",
        {
            "origin": "srgan.networks.latent.origin:ResNetEncoder",
            "narrow": "srgan.networks.latent.embedding:NarrowEncoder",
        },
    ),
    "netG2": Table(
        "srgan.latent.netG2",
        "netG2",
        {
            "origin": "srgan.networks.latent.origin:SkipDecoder",
            "narrow": "srgan.networks.latent.embedding:NarrowDecoder",
        },
    ),
    "netG1": Table(
        "srgan.latent.netG1",
        "netG1",
        {
            "origin": "srgan.networks.latent.origin:ConvGenerator",
            "narrow": "srgan.networks.latent.factored:FactoredGenerator",
        },
    ),
    "netD1": Table(
        "srgan.latent.netD1",
        "netD1",
        {
            "origin": "srgan.networks.latent.origin:ConvCritic",
            "narrow": "srgan.networks.latent.factored:FactoredCritic",
        },
    ),
    "RefinerG": Table(
        "srgan.latent.RefinerG",
        "RefinerG",
        {
            "origin": "srgan.networks.latent.origin:origin_refiner",
            "narrow": "srgan.networks.latent.refiner:refiner",
        },
    ),
    "RefinerD": Table(
        "srgan.latent.RefinerD",
        "RefinerD",
        {
            "origin": "srgan.networks.latent.origin:RefinerCritic",
            "narrow": "srgan.networks.discriminators:PatchDiscriminator",
        },
    ),
}
"""Each role with its forms."""


def build_part(role: str, form: str = "narrow", /, **options: Any) -> nn.Module:
    """The network ``form`` of ``role``, a key of `PARTS`, with fresh weights.

    Raises `InvalidConfig` for a form that is unknown, or options that it does not have.
    """
    from srgan.networks.network import check_options

    maker = PARTS[role].load(form)
    check_options(f"{role} {form!r}", maker, options)
    if role == "RefinerG":
        options = {"scale": 8, **options}
    try:
        return cast("nn.Module", maker(**options))
    except TypeError as error:
        raise InvalidConfig(f"{role} {form!r}: {error}") from error


__all__ = ["CODE", "PARTS", "REDUCTION", "SIDE", "build_part"]
