"""Training in several processes is training in one with a batch as large as all of theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.training.config import TrainConfig  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.data import TileStore  # noqa: E402

Config = Callable[..., TrainConfig]


@pytest.mark.parametrize("degradation", [{}, {"kind": "second-order"}], ids=["bicubic", "worn"])
def test_the_parts_of_a_batch_are_the_batch(degradation: dict[str, object], make_config: Config) -> None:
    device = torch.device("cpu")

    def batches(batch: int, share: tuple[int, int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        data = make_config(data__batch=batch, data__degradation=degradation, data__min_detail=3.0).data
        store = TileStore(data, scale=4, seed=5, device=device, share=share)
        store.fill()
        return [store.batch() for _ in range(2)]

    whole, *parts = batches(6, (0, 1)), *(batches(2, (rank, 3)) for rank in range(3))

    for number, pair in enumerate(whole):
        for kind, all_of_it in enumerate(pair):
            assert torch.equal(torch.cat([part[number][kind] for part in parts]), all_of_it)
