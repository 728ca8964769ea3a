"""Which figures there are, and what is said of those there are not."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from srgan.errors import InvalidConfig, MissingDependency
from srgan.metrics.judges import FIGURES, chosen, least_side, open_blind_judge, open_collector, open_judge
from srgan.metrics.lattice import grid
from srgan.metrics.naturalness import PATCH


def test_psnr_and_ssim_are_always_there_and_nothing_twice() -> None:
    assert chosen([]) == ("psnr", "ssim")
    assert chosen(["kid-squeeze", " PSNR", "kid-squeeze", ""]) == ("psnr", "ssim", "kid-squeeze")
    assert chosen(FIGURES) == tuple(FIGURES)


def test_all_unknown_names_are_listed_with_what_there_is() -> None:
    with pytest.raises(InvalidConfig) as caught:
        chosen(["psnr", "lpips", "sharpness", "fid"])
    said = str(caught.value)
    assert "lpips (its weights belong to features that are not shipped: lpips-unweighted or stlpips-alex)" in said
    assert "sharpness; fid (" in said
    assert all(name in said for name in FIGURES)


@pytest.mark.parametrize(
    ("name", "scale", "side"),
    [("psnr", 4, 1), ("lpips-unweighted", 4, 17), ("fd-squeeze", 16, 64), ("niqe-photos", 2, PATCH)],
)
def test_the_smallest_picture_of_a_figure(name: str, scale: int, side: int) -> None:
    assert least_side(name, scale) == side


@pytest.mark.parametrize("scale", [2, 3, 4, 8, 9, 12, 16])
def test_a_grid_is_looked_for_in_larger_windows_at_larger_scales(scale: int) -> None:
    side = least_side("grid", scale)
    assert grid(np.full((side, side, 1), 0.5), scale) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match=f"windows of {side} pixels"):
        grid(np.full((side - 1, side, 1), 0.5), scale)


def test_no_figure_takes_a_name_that_means_something_else() -> None:
    assert not {"lpips", "dists", "fid", "kid", "niqe"} & set(FIGURES)
    assert all(figure.features for figure in FIGURES.values() if figure.kind in ("picture", "set"))


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match=r"srgan\[train\]"):
        open_judge("lpips-unweighted")
    with pytest.raises(MissingDependency, match=r"srgan\[train\]"):
        open_collector()


def test_a_blind_judge_looks_at_one_picture_and_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    judge = open_blind_judge("niqe-photos")
    noise = np.random.default_rng(0).random((192, 192, 3), np.float32)
    ramp = np.linspace(0.2, 0.8, 192, dtype=np.float32)
    steps = np.round(ramp[:, None, None] * 12) / 12 * np.ones((1, 192, 3), np.float32)
    assert judge(noise) > 10, "white noise is no photograph"
    assert judge(steps + 0.1 * noise) != judge(noise)


def test_every_figure_says_what_it_is_and_a_blind_one_names_whose_photographs() -> None:
    assert all(figure.says for figure in FIGURES.values())
    blind = [figure for figure in FIGURES.values() if figure.kind == "blind"]
    assert len(blind) == 1
    assert "not the model of NIQE's authors" in str(blind[0].features)


@pytest.mark.parametrize(
    ("name", "best_first", "better"),
    [("psnr", [31.0, 30.0], "higher"), ("lpips-unweighted", [0.1, 0.2], "lower"), ("grid", [1.1, 0.7, 9.0], "near 1")],
)
def test_values_of_a_figure_have_an_order(name: str, best_first: list[float], better: str) -> None:
    shuffled = [*best_first[1:], best_first[0]]
    assert sorted(shuffled, key=FIGURES[name].fault) == best_first
    assert FIGURES[name].better == better
