"""Batches that threads make ahead are those that the step would make, whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import Cancelled, MissingDependency  # noqa: E402
from srgan.progress import Stop  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.data import TileStore, open_store  # noqa: E402
from srgan.training.degradation.second_order import SecondOrder, _full_precision  # noqa: E402
from srgan.training.loading import Loader  # noqa: E402

Config = Callable[..., TrainConfig]
quick = pytest.mark.usefixtures("quick_export")
THREADS = [0, 1, 3]
WORN: dict[str, Any] = {"kind": "second-order", "clean": 0.3, "sharpen": 0.5, "webp": 0.0, "avif": 0.0}


def numbers(threads: int, seed: int = 1, make: Callable[[float], float] = lambda drawn: drawn) -> Loader[float, float]:
    generator = torch.Generator().manual_seed(seed)
    return Loader(generator, lambda source: float(torch.rand(1, generator=source)), make, threads=threads)


def loading() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("batches", "decode"))]


# --------------------------------------------------------------------------------------------------------- loader


@pytest.mark.parametrize("threads", THREADS)
def test_what_is_taken_is_what_would_have_been_drawn(threads: int) -> None:
    plain = torch.Generator().manual_seed(1)
    loader = numbers(threads)
    for _ in range(20):
        assert loader.take() == float(torch.rand(1, generator=plain))
        assert torch.equal(loader._generator.get_state(), plain.get_state())
    loader.close()


@pytest.mark.parametrize("threads", THREADS)
def test_who_else_draws_and_who_sets_back_is_heeded(threads: int) -> None:
    plain, loader = numbers(0), numbers(threads)
    for number in range(12):
        assert loader.take() == plain.take()
        if number % 3 == 0:
            assert torch.equal(torch.rand(2, generator=loader._generator), torch.rand(2, generator=plain._generator))
        if number == 7:
            for one in (plain, loader):
                one._generator.manual_seed(5)
    loader.close()


def test_at_most_one_more_than_there_are_threads_is_held_and_made() -> None:
    made = []
    loader = numbers(2, make=lambda drawn: made.append(drawn) or drawn)
    for taken in range(1, 10):
        loader.take()
        assert len(loader._ahead) <= 3
        assert len(made) <= taken + 2
    loader.close()


def test_the_next_batch_is_made_while_nobody_asks() -> None:
    """The step waits for nothing: the thread signals that the second is made, before it is taken."""
    ready = threading.Semaphore(0)
    loader = numbers(1, make=lambda drawn: ready.release() or drawn)
    loader.take()
    assert ready.acquire(timeout=30)
    assert ready.acquire(timeout=30)
    loader.close()
    assert loader.waited >= 0


def test_nothing_is_being_made_once_it_is_discarded() -> None:
    inside, go = threading.Event(), threading.Event()
    seen = []

    def make(drawn: float) -> float:
        inside.set()
        go.wait(30)
        seen.append(held[0])
        return drawn

    held = ["before"]
    loader = numbers(1, make=make)
    taker = threading.Thread(target=loader.take)
    taker.start()
    assert inside.wait(30)
    go.set()
    taker.join(30)
    loader.discard()
    count = len(seen)
    held[0] = "after"
    assert seen == ["before"] * count
    loader.take()
    assert seen[count] == "after"
    loader.close()


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_reaches_who_takes_the_batch_with_its_cause_and_not_earlier(threads: int) -> None:
    expected = [numbers(0).take()]

    def make(drawn: float) -> float:
        if drawn not in expected:
            try:
                return 1 / 0
            except ZeroDivisionError as error:
                raise MissingDependency("a codec", "video") from error
        return drawn

    loader = numbers(threads, make=make)
    assert [loader.take()] == expected
    for _ in range(2):  # the same batch is tried again
        with pytest.raises(MissingDependency, match="codec") as caught:
            loader.take()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        if threads:
            break
    loader.close()


def test_a_closed_loader_goes_on_without_threads() -> None:
    plain, loader = numbers(0), numbers(2)
    assert loader.take() == plain.take()
    loader.close()
    loader.close()
    assert loading() == []
    assert [loader.take() for _ in range(3)] == [plain.take() for _ in range(3)]


def test_threads_take_one_core_each_and_leave_the_callers_number_alone() -> None:
    torch.set_num_threads(2)
    counts = []
    loader = numbers(1, make=lambda drawn: counts.append(torch.get_num_threads()) or drawn)
    loader.take()
    loader.close()
    assert set(counts) == {1}
    assert torch.get_num_threads() == 2


def test_threads_take_turns_at_the_switch_for_exact_products() -> None:
    """It is the process's: whoever comes second must not find the first one's setting and leave that behind."""
    before = torch.get_float32_matmul_precision()
    seen = set()

    def wear() -> None:
        for _ in range(300):
            with _full_precision(torch.device("cuda")):
                seen.add(torch.get_float32_matmul_precision())

    try:
        torch.set_float32_matmul_precision("high")
        threads = [threading.Thread(target=wear) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (seen, torch.get_float32_matmul_precision()) == ({"highest"}, "high")
    finally:
        torch.set_float32_matmul_precision(before)


# ---------------------------------------------------------------------------------------------------------- store


def test_a_store_gives_the_same_batches_while_it_is_streamed_and_scheduled(
    make_config: Config, make_pictures: Callable[..., Path]
) -> None:
    """The tiles change every second step, the sizes once; both happen while batches are in the making."""
    folder = make_pictures(*[(64, 64)] * 9)
    settings = {
        "steps": 14,
        "data__folders": [folder],
        "data__tile": 32,
        "data__memory_gib": 1e-9,
        "data__refresh": 2,
        "data__min_detail": 4.0,
        "data__schedule": [{"until": 0.3, "batch": 2}],
        "data__degradation": WORN,
    }
    plain, ahead = (
        open_store(make_config(**settings, hardware__loaders=count), torch.device("cpu")) for count in (0, 3)
    )
    sizes = set()
    for store in (plain, ahead):
        assert store.streaming
        store.fill()
    for step in range(1, 15):
        for store in (plain, ahead):
            store.advance(step)
        for _ in range(2):
            wanted, made = plain.batch(), ahead.batch()
            assert all(torch.equal(a, b) for a, b in zip(wanted, made, strict=True)), step
            sizes.add(len(made[0]))
    assert sizes == {2, 4}
    for store in (plain, ahead):
        store.close()
    assert loading() == []


def test_loaders_are_there_where_they_are_worth_it(make_config: Config) -> None:
    def loaders(threads: int, **settings: Any) -> int:
        torch.set_num_threads(threads)
        store = open_store(make_config(**settings), torch.device("cpu"))
        store.close()
        return store._loader._depth - 1

    assert loaders(2, data__degradation=WORN) == 1
    assert loaders(1, data__degradation=WORN) == 0
    assert loaders(5, data__degradation=WORN) == 2
    assert loaders(16, data__degradation=WORN) == 4
    assert loaders(2) == 0
    assert loaders(1, hardware__loaders=3) == 3
    assert loaders(2, data__degradation=WORN, hardware__loaders=0) == 0


# ------------------------------------------------------------------------------------------------------- training


def last_checkpoint(config: TrainConfig) -> dict[str, torch.Tensor]:
    return load_file(max((config.output.runs / config.output.name / "001" / "checkpoints").glob("*.safetensors")))


@quick
def test_a_run_that_was_cancelled_goes_on_bit_for_bit_with_any_number_of_threads(
    make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, until = Stop(), 0
    advance = TileStore.advance

    def stopping(store: TileStore, step: int) -> None:
        """Reports are rare, but of every step the store is told."""
        if step == until:
            stop.set()
        advance(store, step)

    settings = {
        "steps": 8,
        "optimiser__accumulate": 2,
        "data__degradation": WORN,
        "data__schedule": [{"until": 0.6, "patch": 10, "batch": 2}],
    }
    straight = make_config(**settings, hardware__loaders=0)
    train(straight)
    assert loading() == []
    monkeypatch.setattr(TileStore, "advance", stopping)
    for threads, until in ((2, 3), (1, 6)):
        stop = Stop()
        with pytest.raises(Cancelled, match=f"stopped at step {until}"):
            train(make_config(**settings, hardware__loaders=threads, output__name="broken"), stop=stop)
        assert loading() == []
    broken = make_config(**settings, hardware__loaders=3, output__name="broken")
    train(broken)
    one, other = last_checkpoint(straight), last_checkpoint(broken)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


@quick
def test_a_gan_with_penalties_trains_the_same_with_threads(make_config: Config) -> None:
    """`gradient_penalty` draws too, and from numbers of its own."""
    weights = []
    for threads in (0, 2):
        config = make_config(
            recipe="adversarial",
            steps=2,
            data__patch=16,
            data__batch=2,
            data__degradation=WORN,
            loss__perceptual=0.0,
            discriminator__name="unet",
            discriminator__options={"width": 8},
            discriminator__loss="wgan-gp",
            updates__discriminator=2,
            hardware__loaders=threads,
            output__name=f"gan{threads}",
        )
        train(config)
        weights.append(last_checkpoint(config))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@quick
def test_an_error_of_the_thread_ends_the_run_by_its_name(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    degrade = SecondOrder.__call__
    calls: list[str] = []

    def failing(self: SecondOrder, pictures: torch.Tensor, seeds: Any) -> torch.Tensor:
        calls.append(threading.current_thread().name)
        if len(calls) > 3:
            raise MissingDependency("Pillow with AVIF", "train")
        return degrade(self, pictures, seeds)

    monkeypatch.setattr(SecondOrder, "__call__", failing)
    with pytest.raises(MissingDependency, match="AVIF"):
        train(make_config(data__degradation=WORN, hardware__loaders=1))
    assert all(name.startswith("batches") for name in calls)
    assert loading() == []
