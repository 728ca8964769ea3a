"""Distances, diversity and novelty: what real pictures, blurred ones, copies and a collapse get."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="features need torch")

from torch import Tensor, nn  # noqa: E402 (torch first: without it nothing here can be imported)
from torch.nn import functional  # noqa: E402

from srgan.training.latent import judging  # noqa: E402
from srgan.training.latent.judging import Gallery, RefinementJudge, SampleJudge, collapse, samples, sheet  # noqa: E402
from srgan.training.latent.pictures import Squares  # noqa: E402

CPU = torch.device("cpu")


def discs(count: int, seed: int) -> Tensor:
    """Discs of random place, size and colour on random grounds: N x 3 x 64 x 64, uint8."""
    random = torch.Generator().manual_seed(seed)
    place = 0.3 + 0.4 * torch.rand(count, 2, 1, 1, generator=random)
    radius = 0.1 + 0.2 * torch.rand(count, 1, 1, generator=random)
    colours = torch.rand(2, count, 3, 1, 1, generator=random)
    line = torch.arange(64) / 64
    inside = (line[:, None] - place[:, 0]) ** 2 + (line[None, :] - place[:, 1]) ** 2 < radius**2
    return (torch.where(inside[:, None], colours[0], colours[1]) * 255).to(torch.uint8)


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery(Squares(discs(60, 1), discs(40, 2)), CPU)


def test_other_real_pictures_are_as_far_as_the_floor_and_varied(gallery: Gallery) -> None:
    real = discs(40, 3)
    distances, floor = gallery.distances(real), gallery.floor()
    assert distances["fd-squeeze"] == pytest.approx(floor["fd-squeeze"], rel=0.5)
    assert abs(distances["kid-squeeze"]) < 1
    variety = gallery.variety(real)
    assert variety["diversity"] == pytest.approx(1, abs=0.2)
    assert variety["novelty"] == pytest.approx(1, abs=0.3)
    assert collapse(variety) == ""


def test_held_out_pictures_are_at_no_distance_from_themselves(gallery: Gallery) -> None:
    distances = gallery.distances(gallery.squares.held_out)
    assert distances["fd-squeeze"] == pytest.approx(0, abs=1e-2)
    assert distances["fd-pixels"] == pytest.approx(0, abs=1e-6)


def test_blurred_pictures_are_farther_by_features_and_hardly_by_pixels(gallery: Gallery) -> None:
    real = discs(40, 3)
    blurred = functional.avg_pool2d(real.float(), 9, 1, 4, count_include_pad=False).to(torch.uint8)
    sharp, soft = gallery.distances(real), gallery.distances(blurred)
    assert soft["fd-squeeze"] > 1.2 * sharp["fd-squeeze"]
    assert soft["fd-pixels"] < 1.1 * sharp["fd-pixels"]


def test_pictures_of_other_colours_are_farther_by_pixels(gallery: Gallery) -> None:
    real = discs(40, 3)
    assert gallery.distances(real // 4)["fd-pixels"] > 3 * gallery.distances(real)["fd-pixels"]


def test_copies_of_training_pictures_have_no_novelty(gallery: Gallery) -> None:
    variety = gallery.variety(gallery.squares.training[:40])
    assert variety["novelty"] == pytest.approx(0, abs=1e-6)
    assert variety["diversity"] > 0.7


def test_pictures_that_are_alike_are_a_collapse(gallery: Gallery) -> None:
    one = discs(1, 5).expand(40, -1, -1, -1)
    figures = gallery.variety(one)
    assert figures["diversity"] == pytest.approx(0, abs=1e-6)
    assert "samples differ only 0.00 times" in collapse(figures)
    assert collapse({"diversity": 0.5}) == ""
    assert collapse({"diversity": 0.499})


def test_samples_are_the_same_at_each_validation_however_many_are_looked_at_together(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(noise: Tensor) -> Tensor:
        return noise[:, :3, None, None].sigmoid().expand(-1, -1, 64, 64)

    first = samples(make, 4, 10, CPU)
    torch.manual_seed(99)
    monkeypatch.setattr(judging, "BATCH", 3)
    assert torch.equal(samples(make, 4, 10, CPU), first)
    judge = SampleJudge(gallery, lambda network, noise: make(network(noise)), 4)
    assert torch.equal(judge.made(nn.Identity(), CPU, 10), first)  # type: ignore[arg-type]
    assert set(judge.score(nn.Identity(), CPU)) == {  # type: ignore[arg-type]
        "fd-squeeze", "kid-squeeze", "fd-pixels", "diversity", "novelty",
    }  # fmt: skip


def test_a_refiner_is_scored_beside_bicubic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "REFINED", 2)
    large = functional.interpolate(discs(3, 1).float(), scale_factor=8.0, mode="nearest").to(torch.uint8)

    class Nearest(nn.Module):
        def forward(self, low: Tensor) -> Tensor:
            return functional.interpolate(low, scale_factor=8.0, mode="nearest")

    figures = RefinementJudge(large).score(Nearest(), CPU)  # type: ignore[arg-type]
    assert figures["psnr"] == 80.0
    assert figures["lpips-unweighted"] == pytest.approx(0, abs=1e-5)
    assert 15 < figures["bicubic psnr"] < 45
    assert figures["bicubic lpips-unweighted"] > 0.05


def test_a_sheet_holds_all_pictures_in_their_order() -> None:
    tiles = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 4, 6)
    page = sheet(tiles, 3)
    assert page.shape == (2 * 4 + 2, 3 * 6 + 4, 3)
    assert [int(page[0, 0, 0]), int(page[0, 8, 0]), int(page[6, 8, 0]), int(page[6, 16, 0])] == [0, 1, 4, 255]
    assert page.dtype == np.uint8
