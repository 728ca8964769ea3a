"""Which figures there are, and what is said of those there are not."""

from __future__ import annotations

import sys

import pytest

from srgan.errors import InvalidConfig, MissingDependency
from srgan.metrics.judges import FIGURES, chosen, least_side, open_collector, open_judge


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
    ("names", "side"), [((), 1), (("psnr",), 1), (("lpips-unweighted",), 17), (("stlpips-alex", "fd-squeeze"), 64)]
)
def test_the_smallest_picture_is_that_of_the_most_demanding_figure(names: tuple[str, ...], side: int) -> None:
    assert least_side(names) == side


def test_no_figure_takes_a_name_that_means_something_else() -> None:
    assert not {"lpips", "dists", "fid", "kid", "niqe"} & set(FIGURES)
    assert all(figure.features for figure in FIGURES.values() if figure.kind in ("picture", "set"))


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match=r"srgan\[train\]"):
        open_judge("lpips-unweighted")
    with pytest.raises(MissingDependency, match=r"srgan\[train\]"):
        open_collector()
