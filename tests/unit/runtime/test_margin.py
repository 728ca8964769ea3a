"""How much of a picture is continued around it, for networks that are wrong at a border."""

from __future__ import annotations

import pytest

from srgan.models import ModelInfo
from srgan.runtime.session import describe


@pytest.mark.parametrize(
    ("multiple", "radius", "margin"),
    [(1, 11, 4), (1, 2, 2), (1, 0, 0), (2, 20, 6), (2, 3, 2), (8, 62, 24), (8, 22, 16)],
)
def test_a_margin_keeps_the_blocks_of_the_network(multiple: int, radius: int, margin: int) -> None:
    model = ModelInfo(name="some-x8", network="some", scale=8, radius=radius, multiple=multiple)

    info = describe(model, backend="none", device="cpu", precision="fp32")

    assert info.margin == margin
    assert info.margin % multiple == 0
    assert info.margin <= radius
