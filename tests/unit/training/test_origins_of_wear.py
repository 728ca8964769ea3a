"""Where worn pictures come from: each origin leaves its own marks, at the right place, and the same ones for a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import features

from srgan.training.degradation.luck import Luck
from srgan.training.degradation.origins import PhoneSection, ScanSection, ScreenSection, WebSection
from srgan.training.degradation.packing import Packed, encoded, resized, scaled
from srgan.training.degradation.phone import Phone, smoothed
from srgan.training.degradation.scan import Scan
from srgan.training.degradation.screen import Screen
from srgan.training.degradation.web import Web

ORIGINS: dict[str, Callable[[Luck], Any]] = {
    "phone": lambda luck: Phone.drawn(PhoneSection(), luck),
    "web": lambda luck: Web.drawn(WebSection(avif=0, webp=0), luck),
    "scan": lambda luck: Scan.drawn(ScanSection(), luck),
    "screen": lambda luck: Screen.drawn(ScreenSection(packed=0.5, quality=(50, 90)), luck),
}
FINE = Packed("jpeg", 100, full_colour=True)
PHONE = Phone(0, 1, 1e9, 0, 0.5, 0, 1, 0, FINE)
SCAN = Scan(0, True, 1, 0, (0, 0, 0), 0, 0, FINE)


def photograph(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Soft colours with some detail."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 70 * np.sin(x / a) + 40 * np.cos(y / b + x / 9) for a, b in ((7, 11), (13, 5), (5, 17))]
    return np.clip(np.dstack(waves), 0, 255).astype(np.uint8)


def flat(level: int, side: int = 96) -> NDArray[np.uint8]:
    return np.full((side, side, 3), level, np.uint8)


def made(name: str, seed: int, pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    luck = Luck(seed)
    result: NDArray[np.uint8] = ORIGINS[name](luck)(pixels, size, luck)
    return result


@pytest.mark.parametrize("name", ORIGINS)
def test_a_seed_decides_all(name: str) -> None:
    pictures = [made(name, seed, photograph(), (16, 24)) for seed in (1, 1, 2)]

    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert [str(ORIGINS[name](Luck(5))), str(ORIGINS[name](Luck(5)))] == [str(ORIGINS[name](Luck(5)))] * 2


@pytest.mark.parametrize("name", ORIGINS)
@pytest.mark.parametrize(("high", "low"), [((64, 96), (16, 24)), ((52, 68), (13, 17)), ((40, 40), (20, 20))])
def test_any_size_comes_back_whole_and_in_place(name: str, high: tuple[int, int], low: tuple[int, int]) -> None:
    """A picture that had moved by a pixel would be less like the plain reduction than like that, moved."""
    plain = resized(photograph(*high), low, "area").astype(float)
    worn = np.mean([made(name, seed, photograph(*high), low) for seed in range(12)], axis=0)
    inner, away = (slice(2, -2), slice(2, -2)), []
    for down, right in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
        moved = np.roll(worn, (down, right), (0, 1))
        away.append(float(np.abs((moved - moved.mean()) - (plain - plain.mean()))[inner].mean()))

    assert worn.shape == (*low, 3)
    assert min(away) == away[0]


def test_a_dark_room_is_noisier_than_the_sun() -> None:
    spread = [
        float(replace(PHONE, photons=photons)(flat(90), (24, 24), Luck(3)).astype(float).std())
        for photons in (100.0, 10_000.0, 1e9)
    ]

    assert spread[0] > 3 * spread[1] > 0
    assert spread[2] < 0.5


def test_denoising_takes_the_noise_and_leaves_edges() -> None:
    noisy = np.float32(100) + Luck(1).noise((40, 40)) * 3
    step = np.where(np.arange(40) < 20, np.float32(40), np.float32(200))[None].repeat(40, 0)

    assert smoothed(noisy, 2, 81.0).std() < noisy.std() / 2.5
    assert np.abs(smoothed(step + noisy - 100, 2, 81.0) - step)[:, [17, 19, 20, 22]].mean() < 3
    assert np.allclose(smoothed(step, 2, 0.0), step, atol=0.01)


def test_sharpening_overshoots_at_edges() -> None:
    edge = np.where(np.arange(96) < 48, 60, 180).astype(np.uint8)[None, :, None].repeat(96, 0).repeat(3, 2)
    soft, sharp = (replace(PHONE, lens=0.6, sharpen=w)(edge, (24, 24), Luck(1)).astype(int) for w in (0, 1.5))

    assert soft.max() <= 182
    assert sharp.max() > 190
    assert sharp.min() < 50


def test_files_lose_more_at_a_lower_quality_and_more_when_packed_twice() -> None:
    pixels = photograph()
    loss = [np.abs(encoded(pixels, "jpeg", q).astype(int) - pixels).mean() for q in (95, 60, 20)]
    web = Web(1.3, ("bicubic", "bicubic"), 0, None, Packed("jpeg", 50))
    twice = replace(web, first=Packed("jpeg", 40, shift=(3, 5)))
    plain = resized(pixels, (16, 24), "bicubic").astype(int)
    single, double = (np.abs(w(pixels, (16, 24), Luck(1)).astype(int) - plain).mean() for w in (web, twice))

    assert loss == sorted(loss)
    assert double > single * 1.1


def test_blocks_begin_where_they_are_told_to() -> None:
    """At the lowest quality a slope becomes steps of 8 pixels."""
    slope = np.tile(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], (32, 1, 3))
    edges = [
        np.abs(np.diff(Packed("jpeg", 1, shift=(0, shift))(slope)[8, :, 1].astype(int))).argsort()[-4:] % 8
        for shift in (0, 3)
    ]

    assert set(edges[0]) == {7}
    assert set(edges[1]) == {4}


@pytest.mark.parametrize("form", ["webp", "avif"])
def test_other_forms_come_back_at_their_size(form: str) -> None:
    if not features.check(form):
        pytest.skip(f"this build of Pillow has no {form}")

    assert Packed(form, 50, shift=(7, 2))(photograph(13, 17)).shape == (13, 17, 3)


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("level", [20, 80, 128, 180, 235])
def test_dots_are_as_light_as_what_they_stand_for(colours: bool, level: int) -> None:
    scan = replace(SCAN, period=1.9, colours=colours)
    printed = scan(flat(level), (48, 48), Luck(2)).astype(float)

    assert abs(printed.mean() - level) < 16
    assert printed.std() > 4


def test_white_stays_white_and_old_paper_turns_yellow() -> None:
    white = replace(SCAN, period=1.9)(flat(255), (24, 24), Luck(1))
    old = replace(SCAN, tint=(3, 9, 18))(flat(255), (24, 24), Luck(1)).mean(axis=(0, 1))

    assert white.min() >= 254
    assert old == pytest.approx([252, 246, 237], abs=1.5)


def test_dust_lies_here_and_there() -> None:
    clean, dusty = (replace(SCAN, dust=dust)(flat(150, 256), (64, 64), Luck(4)).astype(int) for dust in (0, 20.0))
    marked = np.abs(dusty - clean).max(axis=2) > 12

    assert 0 < marked.mean() < 0.3


def test_a_palette_has_as_many_colours_as_it_says() -> None:
    screen = Screen(1.0, ("area", "area"), 32, True, None)
    few = screen(photograph(), (32, 48), Luck(1)).reshape(-1, 3)
    all_ = replace(screen, palette=0)(photograph(), (32, 48), Luck(1)).reshape(-1, 3)

    assert len(np.unique(few, axis=0)) <= 32 < len(np.unique(all_, axis=0))


def test_repetition_invents_no_colour() -> None:
    seen = Screen(0.6, ("nearest", "nearest"), 0, False, None)(photograph(), (32, 48), Luck(1)).reshape(-1, 3)
    before = {tuple(pixel) for pixel in photograph().reshape(-1, 3).tolist()}

    assert {tuple(pixel) for pixel in seen.tolist()} <= before


def test_sizes_stay_above_what_encoders_take() -> None:
    assert scaled((10, 100), 0.1) == (4, 10)


def test_luck_keeps_to_its_bounds() -> None:
    luck = Luck(7)
    grown = [luck.grown((10, 1000)) for _ in range(400)]

    assert 10 <= min(grown) < 15
    assert 700 < max(grown) <= 1000
    assert 60 < float(np.median(grown)) < 160
    assert {luck.whole((2, 4)) for _ in range(60)} == {2, 3, 4}
    assert {luck.pick((0, 1, 0, 2)) for _ in range(60)} == {1, 3}
