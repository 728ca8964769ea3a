"""Worn pictures: each kind of wear has the strength that it was given, nothing moves, and a seed says all."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.training.config import TrainConfig  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.degradation.files import through_file  # noqa: E402
from srgan.training.degradation.jpeg import jpeg  # noqa: E402
from srgan.training.degradation.kernels import blur, gaussian_kernels, sinc_kernels  # noqa: E402
from srgan.training.degradation.noise import Dice, gaussian_noise, poisson_noise  # noqa: E402
from srgan.training.degradation.resizing import MODES, resize  # noqa: E402
from srgan.training.degradation.second_order import SecondOrder  # noqa: E402
from srgan.training.degradation.settings import DegradationSection  # noqa: E402

Tensor = torch.Tensor


def pictures(n: int, side: int = 64) -> Tensor:
    """Smooth random pictures in [0, 1]."""
    coarse = torch.rand(n, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)


def worn(**changes: object) -> SecondOrder:
    return SecondOrder(DegradationSection.model_validate({"kind": "second-order", **changes}), 4)


# ----------------------------------------------------------------------------------------------------- each kind


def test_a_gaussian_blur_passes_the_frequencies_that_it_should() -> None:
    one, sigma = torch.ones(1, dtype=torch.float64), 1.5
    kernel = gaussian_kernels(torch.full((1, 2), sigma), one * 0, one, torch.tensor([False]), torch.tensor([21]))
    line = torch.arange(64)
    frequency = 1 / 8
    wave = torch.sin(2 * np.pi * frequency * (line + 0.5)).expand(1, 1, 64, 64).contiguous()

    left = blur(wave, kernel)[0, 0, 32, 16:48].std() / wave[0, 0, 32, 16:48].std()

    assert left.item() == pytest.approx(np.exp(-2 * (np.pi * sigma * frequency) ** 2), abs=0.005)


def test_a_sinc_filter_keeps_what_is_below_its_cut_off_and_rings() -> None:
    kernel = sinc_kernels(torch.tensor([1.5], dtype=torch.float64), torch.tensor([21]))
    line = torch.arange(64).float()
    step = (line >= 32).float().expand(1, 1, 64, 64).contiguous()
    ripple = blur(step, kernel)[0, 0, 32]
    low, high = (
        blur(torch.cos(w * line).expand(1, 1, 64, 64).contiguous(), kernel)[0, 0, 32, 16:48] for w in (0.4, 2.5)
    )

    assert kernel.sum().item() == pytest.approx(1)
    assert ripple.max() > 1.03
    assert ripple.min() < -0.03
    assert low.abs().max() > 0.9
    assert high.abs().max() < 0.1


@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_noise_has_its_variance(gray: bool) -> None:
    flat, sizes = torch.full((1, 3, 128, 128), 0.5), torch.tensor([[100, 128]])
    made = gaussian_noise(flat, sizes, torch.tensor([20.0]), torch.tensor([gray]), Dice([3], flat.device), [0])

    noise = (made - flat)[0, :, :100] * 255
    assert noise.std().item() == pytest.approx(20, rel=0.02)
    assert torch.equal(noise[0], noise[1]) == gray


def test_poisson_noise_grows_with_the_root_of_the_light() -> None:
    sizes, one, coloured = torch.tensor([[128, 128]]), torch.tensor([2.0]), torch.tensor([False])
    for level in (0.1, 0.8):
        flat = torch.full((1, 3, 128, 128), level)
        noise = poisson_noise(flat, sizes, one, coloured, Dice([3], flat.device), [0]) - flat
        assert noise.std().item() == pytest.approx(2 * (level / 256) ** 0.5, rel=0.03)
        assert abs(noise.mean().item()) < 0.002


@pytest.mark.parametrize("full_colour", [False, True])
@pytest.mark.parametrize("quality", [30, 60, 95])
def test_jpeg_is_that_of_libjpeg(quality: int, full_colour: bool) -> None:
    """libjpeg computes in whole numbers, and some coefficients round otherwise: most where the steps are smallest."""
    plain = (pictures(1, 72) * 255).round() / 255
    plain = (plain + 0.05 * torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    levels = (plain[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "jpeg", quality=quality, subsampling=0 if full_colour else 2)
    theirs = np.asarray(Image.open(file)).astype(float)

    ours = jpeg(plain, torch.tensor([quality]), full_colour=full_colour)[0].permute(1, 2, 0).numpy() * 255

    assert np.abs(ours - theirs).mean() < (0.9 if full_colour and quality == 95 else 0.5)
    assert np.abs((ours - theirs).mean(axis=(0, 1))).max() < 0.03, "no colour drifts"
    assert np.abs(levels - theirs).mean() > 1.5


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 18), (25, 31), (40, 9)])
def test_jpeg_of_any_size_ends_as_that_of_libjpeg(height: int, width: int) -> None:
    """What an encoder puts around a picture to fill its blocks shows in the last rows and columns."""
    plain = (pictures(1, 64)[..., :height, :width] * 255).round() / 255
    levels = (plain[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "jpeg", quality=50, subsampling=2)
    theirs = np.asarray(Image.open(file)).astype(float)

    ours = jpeg(plain, torch.tensor([50]), full_colour=False)[0].permute(1, 2, 0).numpy() * 255

    off = np.abs(ours - theirs)
    assert off[-2:].mean() < 0.1
    assert off[:, -2:].mean() < 0.1
    assert off.mean() < 0.2


@pytest.mark.parametrize("form", ["webp", "avif"])
def test_files_lose_more_at_lower_quality(form: str) -> None:
    plain = pictures(1)[0]
    errors = [(through_file(plain, form, q) - plain).abs().mean().item() for q in (10, 90)]  # type: ignore[arg-type]
    assert errors[0] > errors[1] > 0


@pytest.mark.parametrize("mode", range(len(MODES)))
@pytest.mark.parametrize("antialias", [False, True])
def test_resizing_moves_nothing_and_keeps_a_size(mode: int, antialias: bool) -> None:
    line = torch.arange(60.0)
    dot = torch.exp(-((line - 29.5) ** 2) / 128)
    dot = (dot[:, None] * dot[None])[None, None]
    old, which, smooth = torch.tensor([[60, 60]]), torch.tensor([mode]), torch.tensor([antialias])
    for side in (17, 31, 60, 83):
        made = resize(dot, old, torch.tensor([[side, side]]), (90, 90), which, smooth)[0, 0, :side, :side]
        at = ((torch.arange(side) + 0.5) * made.sum(0)).sum() / made.sum()
        assert at.item() / side * 60 == pytest.approx(30, abs=0.02)
        if side == 60:
            assert torch.allclose(made, dot[0, 0], atol=1e-5)


# ------------------------------------------------------------------------------------------------------ together


def test_the_mean_of_many_degradations_stays_where_it_was() -> None:
    """Within a tenth of a pixel."""
    line = torch.arange(64.0)
    dot = torch.exp(-((line - 31.5) ** 2) / 72)
    dot = (dot[:, None] * dot[None]).expand(16, 3, 64, 64)
    made = torch.cat([worn()(dot, range(100 * k, 100 * k + 16)) for k in range(16)]).mean(dim=(0, 1))
    light = (made - made.median()).clamp(min=0.05) - 0.05
    for axis in (0, 1):
        at = ((torch.arange(16) + 0.5) * light.sum(axis)).sum() / light.sum()
        assert at.item() == pytest.approx(8, abs=0.1)


def test_a_sample_does_not_depend_on_its_batch_and_a_seed_says_all() -> None:
    plain, seeds = pictures(8), range(8)
    degrade = worn(shuffle=0.5, webp=0.2)
    batch = degrade(plain, seeds)

    assert torch.equal(batch, degrade(plain, seeds))
    assert torch.equal(batch, torch.cat([degrade(plain[i : i + 1], [i]) for i in seeds]))
    assert not torch.equal(batch, degrade(plain, range(8, 16)))


def test_what_is_described_is_what_is_done() -> None:
    """A seed's words say whether a sample came through unharmed but for its size, and in which order the steps came."""
    keep = {"blur": 0, "noise": 0, "jpeg": 0.5, "up": 0, "down": 0}
    degrade = worn(first=keep, second=keep, webp=0, avif=0, final_sinc=0.5, shuffle=0.5, resizers={"bilinear": 0})
    plain, seeds = pictures(32), range(32)
    said, made = degrade.describe((64, 64), seeds), degrade(plain, seeds)
    unharmed = worn(
        first={**keep, "jpeg": 0}, second={**keep, "jpeg": 0}, webp=0, avif=0, final_sinc=0, resizers={"bilinear": 0}
    )(plain, seeds)

    words = {word.rpartition(" ")[0] or word for both in said for text in both for word in text.split(", ")}
    assert words == {"x1.00", "JPEG", "sinc"}
    assert any(first.startswith("JPEG") for first, _ in said)
    assert any(first.endswith("JPEG " + first[-2:]) for first, _ in said)
    for i, both in enumerate(said):
        assert torch.equal(made[i], unharmed[i]) == (both == ("x1.00", "x1.00"))
    assert 0 < sum(both == ("x1.00", "x1.00") for both in said) < 32


def test_words_give_every_strength_within_its_bounds() -> None:
    said = worn(webp=0.5, first={"gray": 0.5, "gaussian_sigma": [7, 9]}).describe((64, 64), range(200))
    firsts, seconds = (", ".join(texts) for texts in zip(*said, strict=True))

    assert all(7 <= float(sigma) <= 9 for sigma in re.findall(r"(?:, |gray )noise ([0-9.]+)", firsts))
    assert all(0.2 <= float(sigma) <= 3 for sigma in re.findall(r"blur ([0-9.]+)", firsts))
    assert all(0.15 <= float(factor) <= 1.5 for factor in re.findall(r"x([0-9.]+)", firsts))
    assert all(30 <= int(quality) <= 95 for quality in re.findall(r"(?:WebP|JPEG) ([0-9]+)", firsts + seconds))
    for word in ("Poisson noise", "gray noise", "gray Poisson noise", "sinc"):
        assert word in firsts
    assert "WebP" in seconds
    assert "WebP" not in firsts


def test_the_result_is_8_bit_and_has_the_final_size() -> None:
    made = worn()(pictures(8), range(8))

    assert made.shape == (8, 3, 16, 16)
    assert torch.equal((made * 255).round() / 255, made)
    assert 0 <= made.min() < made.max() <= 1


def test_the_store_is_worn_alike_from_the_same_state_and_bicubic_draws_nothing(
    make_config: Callable[..., TrainConfig],
) -> None:
    def store(kind: str) -> TileStore:
        data = make_config(data__degradation={"kind": kind}).data
        made = TileStore(data, scale=4, seed=0, device=torch.device("cpu"))
        made.fill()
        return made

    one, other, plain = store("second-order"), store("second-order"), store("bicubic")
    try:
        clean = plain.batch()
        one.batch()
        other.generator.set_state(one.generator.get_state())
        again, resumed = one.batch(), other.batch()
    finally:
        for made in (one, other, plain):
            made.close()
    assert torch.equal(again[0], resumed[0])
    assert again[0].shape == clean[0].shape


def test_speed_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    degrade, plain = worn(), pictures(16, 128)
    degrade(plain, range(16))
    began = time.perf_counter()
    degrade(plain, range(16, 32))
    with capsys.disabled():
        print(f"\n16 x 3 x 128 x 128 degraded in {1e3 * (time.perf_counter() - began):.0f} ms on one thread")  # noqa: T201
