"""The oracle: around a network that only repeats pixels, whatever is done must be repetition, exactly."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from srgan.errors import Cancelled, InvalidConfig, InvalidImage, OutOfMemory, UnsupportedModel, UpscaleFailed
from srgan.imaging import Picture, resize
from srgan.progress import Step
from srgan.runtime.session import SessionInfo
from srgan.testing import BlurSession, FaultySession, NearestSession
from srgan.upscaler import Upscaler, pipeline


def pixels(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


def repeated(values: np.ndarray, scale: int) -> np.ndarray:
    return values.repeat(scale, axis=0).repeat(scale, axis=1)


sessions = st.builds(
    NearestSession,
    st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    radius=st.integers(0, 6),
    multiple=st.sampled_from([1, 2, 4, 7]),
    minimum=st.integers(1, 20),
)
sides = st.integers(1, 50)


@given(session=sessions, height=sides, width=sides, channels=st.integers(1, 4), tile=st.none() | st.integers(1, 60))
def test_upscaling_is_repetition_for_any_size_tile_overlap_and_channels(
    session: NearestSession, height: int, width: int, channels: int, tile: int | None
) -> None:
    picture = Picture(pixels=pixels(height, width, channels))

    enlarged = Upscaler(session, tile=tile).upscale(picture)

    assert enlarged.pixels.dtype == np.float32
    assert np.array_equal(enlarged.pixels, repeated(picture.pixels, session.info.scale))
    assert len(set(session.shapes)) <= 1  # engines plan anew for every shape


@given(session=sessions, height=sides, width=sides, channels=st.sampled_from([2, 4]), tile=st.integers(1, 60))
def test_with_transparency_too_where_anything_is_visible(
    session: NearestSession, height: int, width: int, channels: int, tile: int
) -> None:
    source = pixels(height, width, channels)
    source[..., -1] = np.clip(source[..., -1] * 3 - 1, 0, 1)
    expected = repeated(source, session.info.scale)

    enlarged = Upscaler(session, tile=tile).upscale(Picture(pixels=source)).pixels

    assert np.array_equal(enlarged[..., -1], expected[..., -1])
    visible = expected[..., -1] > 0
    assert np.array_equal(enlarged[visible], expected[visible])


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.integers(1, 4),
    limit=st.integers(20_000, 200_000),
    scale=st.sampled_from([2, 4]),
)
def test_repetition_by_several_runs_within_any_memory_limit(
    height: int, width: int, channels: int, limit: int, scale: int
) -> None:
    session = NearestSession(2, radius=2)
    source = pixels(height, width, channels)

    strips = list(Upscaler(session, memory_limit=limit).strips(source, scale=scale))

    assert np.array_equal(np.concatenate(strips), repeated(source, scale))


blurs = st.builds(BlurSession, st.integers(1, 3), radius=st.integers(0, 5), multiple=st.sampled_from([1, 2, 3]))


@given(session=blurs, height=sides, width=sides, channels=st.integers(1, 4), tile=st.integers(1, 40))
def test_tiled_equals_untiled_for_a_network_that_looks_around(
    session: BlurSession, height: int, width: int, channels: int, tile: int
) -> None:
    source = pixels(height, width, channels)
    if channels in (2, 4):
        source[..., -1] = np.clip(source[..., -1] * 3 - 1, 0, 1)
    whole = np.concatenate(list(Upscaler(session).strips(source)))

    tiled = np.concatenate(list(Upscaler(session, tile=tile).strips(source)))

    assert np.array_equal(tiled, whole)


def test_the_bounds_of_alpha_join_even_for_a_network_that_sees_one_pixel_only() -> None:
    class Contrast(NearestSession):
        def run(self, batch: np.ndarray) -> np.ndarray:
            return super().run(np.clip(batch * 3 - 1, 0, 1))

    source = pixels(40, 40, 2)
    source[..., 1] = np.where(np.kron(source[::4, ::4, 1], np.ones((4, 4))) < 0.5, 0.4, 0.6)
    whole = Upscaler(Contrast()).upscale(Picture(pixels=source)).pixels

    assert np.array_equal(Upscaler(Contrast(), tile=9).upscale(Picture(pixels=source)).pixels, whole)
    assert np.unique(whole[..., 1]) == pytest.approx([0.2, 0.4, 0.6, 0.8])  # two of them where nothing was bounded


def test_an_overlap_that_is_too_small_makes_seams() -> None:
    source = pixels(60, 60, 3)
    honest = Upscaler(BlurSession(radius=4)).upscale(Picture(pixels=source)).pixels
    short = Upscaler(BlurSession(radius=4, claimed_radius=3), tile=24).upscale(Picture(pixels=source)).pixels

    assert np.abs(short - honest).max() > 1 / 255


def test_a_family_of_sizes() -> None:
    upscaler = Upscaler(NearestSession(4))
    picture = Picture(pixels=pixels(30, 40, 3))
    shapes: dict[str, Any] = {
        "default": upscaler.upscale(picture).pixels.shape,
        "scale": upscaler.upscale(picture, scale=2.5).pixels.shape,
        "less": upscaler.upscale(picture, scale=0.1).pixels.shape,
        "width": upscaler.upscale(picture, width=100).pixels.shape,
        "height": upscaler.upscale(picture, height=400).pixels.shape,
        "both": upscaler.upscale(picture, width=7, height=70).pixels.shape,
        "long": upscaler.upscale(picture, long_side=41).pixels.shape,
    }

    assert shapes == {
        "default": (120, 160, 3),
        "scale": (75, 100, 3),
        "less": (3, 4, 3),
        "width": (75, 100, 3),
        "height": (400, 533, 3),
        "both": (70, 7, 3),
        "long": (31, 41, 3),
    }


@pytest.mark.parametrize(("scale", "runs"), [(3, 1), (4.1, 1), (8, 1), (0.5, 0)])
def test_the_exact_size_is_one_resampling_after_the_last_run(scale: float, runs: int) -> None:
    source = pixels(11, 13, 3)
    session = NearestSession(4)
    network = repeated(source, 4**runs)

    enlarged = Upscaler(session).upscale(Picture(pixels=source), scale=scale, resample="bicubic").pixels

    size = (round(11 * scale + 0.01), round(13 * scale + 0.01))
    assert len(session.shapes) == runs
    assert np.array_equal(enlarged, np.clip(resize(network, *size, "bicubic"), 0, 1))


def test_more_than_one_run_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srgan")
    upscaler = Upscaler(NearestSession(2))

    upscaler.upscale(Picture(pixels=pixels(4, 4, 3)), scale=2.2)
    assert not caplog.messages
    upscaler.upscale(Picture(pixels=pixels(4, 4, 3)), scale=3)

    assert caplog.messages == ["nearest: the network runs 2 times, since its scale is 2 and the requested scale is 3"]


def test_the_same_size_leaves_the_pixels_alone_and_the_network_idle() -> None:
    source = pixels(200, 9, 4)
    session = NearestSession(4)

    assert np.array_equal(Upscaler(session).upscale(Picture(pixels=source), scale=1).pixels, source)
    assert session.shapes == []


def test_a_network_that_only_restores_runs_once_whatever_the_size() -> None:
    session = NearestSession(1)
    picture = Picture(pixels=pixels(10, 10, 3))

    assert Upscaler(session).upscale(picture).pixels.shape == (10, 10, 3)
    assert Upscaler(session).upscale(picture, scale=0.5).pixels.shape == (5, 5, 3)
    assert Upscaler(session).upscale(picture, scale=3).pixels.shape == (30, 30, 3)
    assert len(session.shapes) == 3


def test_transparent_colour_bleeds_neither_through_the_network_nor_through_the_resampler() -> None:
    # A red disc on transparent white. Whatever is visible of the result must be red.
    down, across = np.mgrid[:40, :40]
    disc = (down - 20) ** 2 + (across - 20) ** 2 < 150
    source = np.where(disc[..., None], [1, 0, 0, 1], [1, 1, 1, 0]).astype(np.float32)

    enlarged = Upscaler(BlurSession(2, radius=2), tile=20).upscale(Picture(pixels=source), scale=1.7).pixels

    seen = enlarged[enlarged[..., 3] > 1 / 255]
    inside = enlarged[30:38, 30:38]
    assert len(seen) > 1000
    assert seen[:, 1].max() < 0.02
    assert seen[:, 2].max() < 0.02
    assert inside[..., 3].min() > 1 - 1e-6
    assert (enlarged[0, :, 3] == 0).all()


def test_opaque_stays_opaque_and_alpha_is_not_sent_through_the_network_where_it_is_flat() -> None:
    source = pixels(30, 60, 4)
    source[..., 3] = 1
    source[:, :20, 3] = 0.5
    session = BlurSession(2, radius=2)

    enlarged = Upscaler(session, tile=20).upscale(Picture(pixels=source)).pixels

    assert (enlarged[:, 42:, 3] == 1).all()
    assert (enlarged[:, :38, 3] == 0.5).all()
    opaque = NearestSession()
    Upscaler(opaque).upscale(Picture(pixels=source[:, 20:]))
    assert len(opaque.shapes) == 1


def test_what_belongs_to_the_picture_goes_with_it() -> None:
    picture = Picture(pixels=pixels(3, 3, 1), bit_depth=16, icc_profile=b"profile", dpi=(72, 72), format="TIFF")

    enlarged = Upscaler(NearestSession()).upscale(picture)

    assert (enlarged.bit_depth, enlarged.icc_profile, enlarged.dpi, enlarged.format) == (
        16,
        b"profile",
        (72, 72),
        "TIFF",
    )


def test_results_are_clipped_between_runs_and_at_the_end() -> None:
    class Overshooting(NearestSession):
        def run(self, batch: np.ndarray) -> np.ndarray:  # refuses input outside [0, 1] itself
            return (super().run(batch) - 0.5) * 1.5 + 0.5

    enlarged = Upscaler(Overshooting()).upscale(Picture(pixels=pixels(20, 20, 3)), scale=4).pixels

    assert (enlarged.min(), enlarged.max()) == (0, 1)


def test_memory_decides_over_the_tiles() -> None:
    session = NearestSession(working_bytes_per_pixel=1000)
    source = pixels(100, 100, 3)

    list(Upscaler(session, memory_limit=4_000_000).strips(source))

    assert set(session.shapes) == {(1, 3, 50, 50)}  # 3,000,000 bytes for tiles of up to 52 x 52
    whole = NearestSession(working_bytes_per_pixel=1000)
    list(Upscaler(whole).strips(source))
    assert whole.shapes == [(1, 3, 100, 100)]


@pytest.mark.parametrize(
    ("device", "free", "budget"),
    [
        ("cpu", 1 << 30, 1 << 29),
        ("cpu", 100 << 30, 640 << 20),
        ("cpu", None, 1 << 30),
        ("cuda:0", 3 << 30, 4 << 30),
    ],
)
def test_without_a_limit_half_of_what_is_free_is_used(
    monkeypatch: pytest.MonkeyPatch, device: str, free: int | None, budget: int
) -> None:
    monkeypatch.setattr(pipeline, "available_memory", lambda: free)

    assert Upscaler(NearestSession(device=device))._budget() == budget


def test_strips_of_a_wide_picture_stay_within_the_limit_and_come_one_by_one() -> None:
    session = NearestSession(4, radius=2)
    strips = Upscaler(session, memory_limit=4_000_000).strips(pixels(64, 500, 3))

    first = next(strips)

    assert first.shape[1:] == (2000, 3)
    assert first.nbytes <= 1_000_000
    assert len(session.shapes) <= 2  # the next one is under way
    assert len(first) + sum(map(len, strips)) == 256
    assert len(session.shapes) > 4


def test_a_result_that_cannot_fit_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.upscaler.strips.available_memory", lambda: 1000)
    session = NearestSession()

    with pytest.raises(OutOfMemory, match=r"16 x 12 pixels needs 0\.0 GiB of memory; 0\.0 GiB are free"):
        Upscaler(session).upscale(Picture(pixels=pixels(6, 8, 3)))
    assert session.shapes == []


def test_progress_counts_up_to_all_the_work() -> None:
    told: list[tuple[int, int]] = []

    Upscaler(NearestSession(2), tile=8).upscale(
        Picture(pixels=pixels(20, 10, 3)), scale=3.5, report=lambda step: told.append((step.done, step.total))
    )

    done = [entry[0] for entry in told]
    assert {entry[1] for entry in told} == {200 + 800}
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == 1000


def test_progress_is_told_even_when_the_network_is_not_needed() -> None:
    told = []
    Upscaler(NearestSession()).upscale(
        Picture(pixels=pixels(4, 4, 3)), scale=0.5, report=lambda step: told.append((step.done, step.total))
    )

    assert told == [(1, 1)]


def test_progress_may_stop_the_work() -> None:
    session = NearestSession()
    upscaler = Upscaler(session, tile=8)

    def stop(step: Step) -> None:
        if step.done:
            raise Cancelled

    with pytest.raises(Cancelled):
        upscaler.upscale(Picture(pixels=pixels(32, 32, 3)), report=stop)
    assert len(session.shapes) <= 2  # the next one is under way
    assert upscaler.upscale(Picture(pixels=pixels(2, 2, 3))).width == 4


def test_threads_take_turns() -> None:
    class Jealous(NearestSession):
        busy = threading.Lock()

        def run(self, batch: np.ndarray) -> np.ndarray:
            assert self.busy.acquire(blocking=False), "two threads at once"
            try:
                return super().run(batch)
            finally:
                self.busy.release()

    upscaler = Upscaler(Jealous(), tile=10)
    pictures = [Picture(pixels=pixels(40, 40, 3, seed)) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(upscaler.upscale, pictures))

    for picture, result in zip(pictures, results, strict=True):
        assert np.array_equal(result.pixels, repeated(picture.pixels, 2))


def test_the_next_picture_begins_with_the_preferred_session_again() -> None:
    opened = []
    broken = FaultySession(NearestSession(device="cuda:0", precision="fp16"), "nan")

    def reopen(*, device: str, precision: str) -> NearestSession:
        opened.append((device, precision))
        return NearestSession(device=device, precision=precision)

    upscaler = Upscaler(broken, tile=16, reopen=reopen)
    for _ in range(2):
        upscaler.upscale(Picture(pixels=pixels(32, 32, 3)))

    assert broken.failures == 2
    assert opened == [("cuda:0", "fp32")]  # and is kept


def test_never_silently_wrong_pixels() -> None:
    upscaler = Upscaler(FaultySession(NearestSession(), "black", lambda batch: batch.mean() > 0.7), tile=16)
    bright = np.concatenate([pixels(16, 32, 3) * 0.5, pixels(16, 32, 3) * 0.2 + 0.75])

    with pytest.raises(UpscaleFailed, match="came out black"):
        upscaler.upscale(Picture(pixels=bright))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_picture_that_holds_no_numbers_is_the_picture_s_fault(bad: float) -> None:
    source = pixels(4, 4, 3)
    source[1, 1, 1] = bad

    with pytest.raises(InvalidImage, match="NaN or infinite"):
        Upscaler(NearestSession()).upscale(Picture(pixels=source))


def test_what_lies_beyond_black_and_white_is_clipped_before_the_network() -> None:
    source = pixels(4, 4, 3)
    source[0, 0], source[1, 1] = -0.5, 1.5

    enlarged = Upscaler(NearestSession()).upscale(Picture(pixels=source)).pixels

    assert np.array_equal(enlarged, repeated(np.clip(source, 0, 1), 2))


def test_arrays_of_another_kind_are_refused() -> None:
    for wrong in (np.zeros((2, 2), np.float32), np.zeros((2, 2, 5), np.float32), np.zeros((2, 2, 3), np.uint8)):
        with pytest.raises(InvalidImage, match="height x width"):
            Upscaler(NearestSession()).strips(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"tile": 0}, {"memory_limit": 0}, {"scale": 0}, {"scale": float("nan")}])
def test_settings_out_of_range_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"at least 1|above 0"):
        Upscaler(NearestSession(), **wrong)


def test_an_unknown_filter_is_refused_at_once() -> None:
    unknown: Any = "sharpest"
    with pytest.raises(InvalidConfig, match=r"no filter 'sharpest'\. Choose one of: bicubic"):
        Upscaler(NearestSession()).strips(pixels(2, 2, 3), resample=unknown)


def test_sizes_are_refused_before_the_first_strip() -> None:
    with pytest.raises(InvalidConfig, match="Give only one"):
        Upscaler(NearestSession()).strips(pixels(2, 2, 3), scale=2, width=4)


def test_a_model_of_other_channels_is_not_for_pictures() -> None:
    with pytest.raises(UnsupportedModel, match="has 4 channels"):
        Upscaler(NearestSession(channels=4))


def test_the_upscaler_tells_what_it_runs_and_what_it_would_make() -> None:
    upscaler = Upscaler(NearestSession(4), scale=3)

    assert isinstance(upscaler.info, SessionInfo)
    assert upscaler.scale == 3
    assert upscaler.output_size((10, 20)) == (30, 60)
    assert upscaler.output_size((10, 20), long_side=100) == (50, 100)


def test_a_model_is_opened_by_name_with_all_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def open_session(model: Any, **options: Any) -> Any:
        asked.append((model, options))
        device = "vulkan:0" if options["device"] == "auto" else options["device"]
        session = NearestSession(device=device, precision="fp32" if options["precision"] == "fp32" else "fp16")
        return session if device == "cpu" else FaultySession(session, "nan")

    monkeypatch.setattr("srgan.runtime.open_session", open_session)
    upscaler = Upscaler("fast", scale=2, threads=3)
    upscaler.upscale(Picture(pixels=pixels(4, 4, 3)))

    same = {"scale": 2, "threads": 3, "output": ()}
    assert asked == [
        ("fast", {**same, "backend": "auto", "device": "auto", "precision": "auto"}),
        ("fast", {**same, "backend": "testing", "device": "vulkan:0", "precision": "fp32"}),
        ("fast", {**same, "backend": "testing", "device": "cpu", "precision": "fp32"}),
    ]


def test_the_next_tile_is_under_way_while_a_strip_is_used() -> None:
    started = threading.Event()

    class Watched(NearestSession):
        def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            if len(self.shapes) >= 1:
                started.set()
            return super().run(batch)

    strips = Upscaler(Watched(2), tile=16).strips(np.zeros((64, 16, 3), np.float32))
    next(strips)

    assert started.wait(20)
    strips.close()  # type: ignore[attr-defined]


def test_work_that_is_given_up_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    strips = Upscaler(NearestSession(2), tile=16).strips(np.zeros((256, 16, 3), np.float32))
    next(strips)
    assert set(threading.enumerate()) - before
    strips.close()  # type: ignore[attr-defined]

    assert not set(threading.enumerate()) - before
