"""Batches of mixed origin: shares, independence of samples, stills of videos, and what is said of it all."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import MissingDependency  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.degradation.luck import Luck  # noqa: E402
from srgan.training.degradation.mixed import Mixed, wear  # noqa: E402
from srgan.training.degradation.origins import StillSection  # noqa: E402
from srgan.training.degradation.second_order import SecondOrder  # noqa: E402
from srgan.training.degradation.settings import DegradationSection  # noqa: E402
from srgan.training.degradation.still import Still  # noqa: E402

NONE = dict.fromkeys(("second_order", "phone", "web", "scan", "screen", "still"), 0)


def settings(**mix: float) -> DegradationSection:
    return DegradationSection.model_validate({"kind": "mixed", "mix": NONE | mix, "web": {"avif": 0}})


def batch(n: int = 6) -> Any:
    coarse = torch.rand(n, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1)


def test_a_sample_does_not_depend_on_the_rest_of_its_batch() -> None:
    make = Mixed(settings(second_order=1, phone=1, web=1, scan=1, screen=1), 4)
    together = make(batch(), range(6))
    alone = torch.cat([make(batch()[[k]], [k]) for k in reversed(range(6))]).flip(0)

    assert together.shape == (6, 3, 16, 16)
    assert torch.equal(together, alone)
    assert torch.equal((together * 255).round() / 255, together)
    assert together.is_contiguous(memory_format=torch.channels_last)


def test_the_mix_is_as_its_shares_say() -> None:
    said = Mixed(settings(phone=3, web=1), 4).describe((64, 64), range(400))

    assert Counter(name for name, _ in said)["phone"] == pytest.approx(300, abs=35)
    assert all("JPEG" in words or "WebP" in words for _, words in said)


def test_the_second_order_has_its_own_settings_and_seeds() -> None:
    own = settings(second_order=1)
    plain = SecondOrder(own.model_copy(update={"kind": "second-order"}), 4)

    assert torch.equal(Mixed(own, 4)(batch(), range(6)), plain(batch(), range(6)))
    assert Mixed(own, 4).describe((64, 64), [3]) == plain.describe((64, 64), [3])


def test_targets_are_sharpened_for_all_origins() -> None:
    sharp = settings(phone=1).model_copy(update={"sharpen": 0.5})

    assert torch.equal(Mixed(settings(phone=1), 4).original(batch()), batch())
    assert not torch.equal(Mixed(sharp, 4).original(batch()), batch())


def test_each_kind_has_its_maker() -> None:
    assert wear(DegradationSection(), 4) is None
    assert isinstance(wear(DegradationSection(kind="second-order"), 4), SecondOrder)
    assert isinstance(wear(DegradationSection(kind="mixed"), 4), Mixed)


def test_stills_without_a_codec_are_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    Mixed(settings(phone=1), 4)

    with pytest.raises(MissingDependency, match="video"):
        Mixed(settings(still=1), 4)


def test_the_lines_of_a_combed_still_are_of_two_moments() -> None:
    pytest.importorskip("av", reason="video artefacts need PyAV")
    pixels = np.tile((128 + 90 * np.sin(np.arange(96) / 5)).astype(np.uint8)[None, :, None], (64, 1, 3))
    still = Still(3, False, False, "h264", 1, (), False)
    shown = still(pixels, (64, 96), Luck(1)).astype(int)
    even, late = shown[20, 8:-8, 1], shown[21, 8:-8, 1]

    assert np.abs(even - pixels[20, 8:-8, 1]).mean() < 4
    assert np.abs(late - pixels[21, 5:-11, 1]).mean() < 4
    assert np.abs(late - even).mean() > 15


def test_a_doubled_field_has_half_of_the_lines() -> None:
    pytest.importorskip("av", reason="video artefacts need PyAV")
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[1::2] = 255
    shown = Still(0, True, False, "mpeg2", 2, (), False)(stripes, (64, 64), Luck(1))

    assert shown.max() < 12


def test_stills_are_as_their_seeds_say() -> None:
    pytest.importorskip("av", reason="video artefacts need PyAV")
    section = StillSection(combed=1, squeezed=1, blocky_colour=1)
    still = Still.drawn(section, Luck(2))
    pixels = (batch(1)[0].permute(1, 2, 0) * 255).byte().numpy()
    shown = [still(pixels, (16, 16), Luck(9)), Still.drawn(section, Luck(2))(pixels, (16, 16), Luck(9))]

    assert shown[0].shape == (16, 16, 3)
    assert np.array_equal(*shown)
    assert "combed" in str(still)
    assert "squeezed" not in str(replace(still, squeezed=False))
