"""Sizes of patches and batches that change on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import InvalidConfig, InvalidDataset  # noqa: E402 (torch first: without it nothing here can run)
from srgan.networks.discriminators import build_discriminator  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.data import TileStore, open_store  # noqa: E402
from srgan.training.features import check_patch  # noqa: E402
from srgan.training.setup import make_network  # noqa: E402

Config = Callable[..., TrainConfig]
CPU = torch.device("cpu")
STAGES: list[dict[str, Any]] = [{"until": 0.25, "patch": 12, "batch": 2}, {"until": 0.5, "batch": 6}]
SIZES = [(2, 12)] * 2 + [(6, 8)] * 2 + [(4, 8)] * 4
"""N and side of the batches of 8 steps."""


def sizes(store: TileStore, steps: range) -> list[tuple[int, int]]:
    found = []
    for step in steps:
        store.advance(step)
        low, high = store.batch()
        assert high.shape == (len(low), 3, 4 * low.shape[2], 4 * low.shape[3])
        found.append((len(low), low.shape[-1]))
    return found


@pytest.mark.parametrize("begun", [0, 1, 2, 5])
def test_batches_follow_the_schedule_from_wherever_a_run_goes_on(begun: int, make_config: Config) -> None:
    store = open_store(make_config(steps=8, data__schedule=STAGES), CPU)
    store.fill(begun)
    assert (store.batch()[0].shape[0], store.batch()[0].shape[-1]) == SIZES[begun], "also before the first step"
    assert sizes(store, range(begun + 1, 9)) == SIZES[begun:]
    store.close()


def test_several_processes_draw_one_batch(make_config: Config) -> None:
    config = make_config(steps=8, data__schedule=STAGES)
    stores = [open_store(config, CPU, share=(rank, 2)) for rank in range(2)]
    for store in stores:
        store.fill()
    for step in range(1, 9):
        for store in stores:
            store.advance(step)
        one, other = (store.batch()[1] for store in stores)
        assert one.shape == other.shape
        assert not torch.equal(one, other)
        assert torch.equal(stores[0].generator.get_state(), stores[1].generator.get_state())
    for store in stores:
        store.close()


def test_without_a_length_there_is_no_schedule(make_config: Config) -> None:
    """An ensemble's fusion has steps of its own."""
    config = make_config(data__schedule=STAGES)
    store = TileStore(config.data, scale=4, seed=1, device=CPU)
    store.fill()
    assert sizes(store, range(1, 5)) == [(4, 8)] * 4
    store.close()


def test_pictures_must_hold_the_largest_patch(
    make_config: Config, make_pictures: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures((47, 64), (48, 64))
    store = open_store(make_config(data__folders=[folder], data__schedule=STAGES), CPU)
    assert store.pictures == 1
    assert "000.png: smaller than a patch of 48 pixels" in caplog.text
    store.close()
    (folder / "001.png").unlink()
    with pytest.raises(InvalidDataset, match="at least 48 pixels"):
        open_store(make_config(data__folders=[folder], data__schedule=STAGES), CPU)


def test_flat_patches_of_each_size_are_passed_over(make_config: Config, tmp_path: Path) -> None:
    pixels = np.full((256, 512, 3), 90, np.uint8)
    pixels[:, 256:] = np.random.default_rng(0).integers(0, 256, (256, 256, 3))
    Image.fromarray(pixels).save(tmp_path / "half.png")
    stages = [{"until": 0.5, "patch": 24, "batch": 64}]
    data = {"folders": [tmp_path], "patch": 8, "batch": 64, "tile": 256, "min_detail": 8.0, "flat_share": 0.0}
    store = open_store(make_config(steps=4, data={**data, "schedule": stages}), CPU)
    store.fill()
    for step in range(1, 5):
        store.advance(step)
        assert float((store.batch()[1].std(dim=(1, 2, 3)) < 0.01).float().mean()) < 0.05
    store.close()


def test_networks_and_discriminators_must_take_every_size(make_config: Config) -> None:
    odd = make_config(network__name="turbo", network__options={}, data__schedule=[{"until": 0.1, "patch": 9}])
    with pytest.raises(InvalidConfig, match=r"data\.schedule: 'turbo' takes multiples of 2, not 9"):
        make_network(odd.network, odd.data.patch, stages=odd.data.stages())
    with pytest.raises(InvalidConfig, match=r"data\.schedule: 'turbo' takes multiples of 2, not 9"):
        train(odd)
    judge = build_discriminator("unet", width=8)
    fine = make_config(data__patch=16)
    check_patch(judge, "discriminator", fine)
    with pytest.raises(InvalidConfig, match=r"data\.schedule: 9 x network\.scale 4 = 36 pixels .* for discriminator"):
        check_patch(judge, "discriminator", make_config(data__patch=16, data__schedule=[{"until": 0.1, "patch": 9}]))


@pytest.mark.usefixtures("quick_export")
def test_the_learning_rate_stays_as_it_is(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from srgan.training import pretrain

    rates: dict[str, list[float]] = {}
    set_rate = pretrain.set_rate
    for name, schedule in (("plain", []), ("staged", STAGES)):

        def noted(optimisers: Any, factor: float, name: str = name) -> None:
            rates.setdefault(name, []).append(factor)
            set_rate(optimisers, factor)

        monkeypatch.setattr(pretrain, "set_rate", noted)
        train(make_config(steps=8, data__schedule=schedule, output__name=name))
    assert len(rates["plain"]) == 8
    assert rates["plain"] == rates["staged"]
