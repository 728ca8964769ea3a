"""`srgan.benchmark`: what is measured, how often, and what the report says of it."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan import benchmark
from srgan.benchmark import (
    LEAST_RUNS,
    BenchmarkReport,
    Timing,
    as_batch,
    describe_machine,
    library_versions,
    matrix_gflops,
    milliseconds,
    run_benchmark,
    sample_picture,
    summarise,
    table,
    time_in_turn,
    timed,
)
from srgan.errors import Cancelled, InvalidConfig, ModelNotFound
from srgan.imaging import Picture, encode_picture, read_picture, to_uint8
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.progress import Step
from srgan.testing import NearestSession

DOUBLING = """7767517
2 2
Input in0 0 1 in0
Interp up 1 1 in0 out0 0=1 1=2.0 2=2.0
"""
"""The least of all ncnn networks: every pixel four times."""

MACS = 1_000
MATRIX = {1: 50.0, 2: 80.0}
"""GFLOP/s that the tests take for those of a matrix product."""


@pytest.fixture
def doubling(tmp_path: Path) -> Bundle:
    info = ModelInfo(name="doubling-x2", network="fast", scale=2, radius=0, multiple=2, macs_per_pixel=MACS)
    return write_bundle(tmp_path / "doubling-x2", info, {"model.ncnn.param": DOUBLING.encode(), "model.ncnn.bin": b""})


@pytest.fixture
def _known_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "matrix_gflops", lambda threads: [MATRIX[threads]] * 2)


def quick(*models: Any, **options: Any) -> BenchmarkReport:
    """A report in no time: one size, one thread and the fewest runs, where ``options`` do not say otherwise."""
    chosen: dict[str, Any] = {"sizes": (8,), "threads": (1,), "repeats": LEAST_RUNS, "warm_ups": 0}
    return run_benchmark(models, **(chosen | options))


class TestTiming:
    def test_the_summary_is_median_and_percentiles_of_the_wall_clock(self) -> None:
        samples = [(float(wall), wall / 2) for wall in range(11)]

        assert summarise(samples) == Timing(median=5.0, low=1.0, high=9.0, cpu=2.5, runs=11)

    def test_one_slow_run_does_not_move_the_median(self) -> None:
        assert summarise([(1.0, 1.0), (1.0, 1.0), (100.0, 1.0)]).median == 1.0

    def test_waiting_takes_time_but_no_cpu(self) -> None:
        wall, cpu = timed(lambda: time.sleep(0.05))

        assert wall >= 0.05
        assert cpu < 0.04

    def test_work_takes_cpu(self) -> None:
        def work() -> None:
            end = time.process_time() + 0.05
            while time.process_time() < end:
                pass

        wall, cpu = timed(work)

        assert 0.04 <= cpu <= wall * 1.5

    def test_actions_take_turns_and_warm_ups_do_not_count(self) -> None:
        calls: list[str] = []
        first, second = time_in_turn(
            [lambda: calls.append("a"), lambda: calls.append("b")], warm_ups=2, repeats=4, seconds=60
        )

        assert calls == ["a", "b"] * 6
        assert first.runs == second.runs == 4

    def test_measuring_ends_when_its_time_is_over(self) -> None:
        calls: list[int] = []
        (timing,) = time_in_turn([lambda: calls.append(time.sleep(0.02) or 0)], warm_ups=0, repeats=1000, seconds=0.1)

        assert LEAST_RUNS <= timing.runs == len(calls) <= 6

    def test_a_slow_action_still_runs_often_enough(self) -> None:
        (timing,) = time_in_turn([lambda: time.sleep(0.01)], warm_ups=0, repeats=1000, seconds=0)

        assert timing.runs == LEAST_RUNS

    def test_the_result_of_an_action_is_given_up_outside_the_measurement(self) -> None:
        class Slow:
            def __del__(self) -> None:
                time.sleep(0.2)

        assert timed(Slow)[0] < 0.1

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0.00"),
            (0.001234, "1.23"),
            (0.0099999, "10.0"),
            (0.0123, "12.3"),
            (0.09999, "100"),
            (1.2345, "1234"),
        ],
    )
    def test_milliseconds_have_three_digits(self, seconds: float, text: str) -> None:
        assert milliseconds(seconds) == text

    def test_a_timing_shows_its_spread(self) -> None:
        assert str(Timing(median=0.12, low=0.1, high=0.2, cpu=0.1, runs=9)) == "120 (100-200)"


@pytest.mark.usefixtures("_known_matrix")
class TestRows:
    def test_every_model_is_measured_at_every_size_on_every_number_of_threads(self, doubling: Bundle) -> None:
        report = quick(doubling, "lanczos", sizes=(8, 16), threads=(1, 2), backend="auto")

        measured = [(row.model, row.width, row.height, row.threads) for row in report.rows]
        assert sorted(measured) == sorted(
            (model, size, size, threads)
            for model in ("bicubic", "doubling-x2", "lanczos")
            for size in (8, 16)
            for threads in (1, 2)
        )

    def test_a_row_says_what_ran(self, doubling: Bundle) -> None:
        row = quick(doubling, backend="ncnn", device="cpu").rows[1]

        assert (row.model, row.backend, row.device, row.precision, row.scale) == (
            "doubling-x2",
            "ncnn",
            "cpu",
            "fp32",
            2,
        )

    def test_operations_count_twice_and_are_held_against_the_matrix_product(self, doubling: Bundle) -> None:
        baseline, row = quick(doubling, threads=(2,)).rows

        assert row.gflops == pytest.approx(2 * MACS * 64 / row.network.median / 1e9)
        assert row.share_of_matrix == pytest.approx(row.gflops / MATRIX[2])
        assert baseline.gflops is None
        assert baseline.share_of_matrix is None

    def test_no_device_but_the_cpu_is_held_against_the_matrix_product_of_the_cpu(
        self, doubling: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(benchmark, "open_session", lambda *_, **__: NearestSession(2, device="vulkan:0 (Some GPU)"))
        row = quick(doubling).rows[1]

        assert row.gflops is not None
        assert row.share_of_matrix is None

    def test_the_baseline_comes_once_and_first_whoever_asks_for_it(self) -> None:
        assert [row.model for row in quick("lanczos", "bicubic", "lanczos").rows] == ["bicubic", "lanczos"]
        assert [row.model for row in quick().rows] == ["bicubic"]

    def test_the_baseline_enlarges_as_much_as_the_models(self) -> None:
        assert [row.scale for row in quick("nearest", scale=3).rows] == [3, 3]

    def test_an_input_is_made_large_enough_for_the_network(self, doubling: Bundle) -> None:
        row = quick(doubling, sizes=(7,)).rows[1]

        assert (row.width, row.height) == (8, 8)

    def test_end_to_end_is_from_png_to_png_and_the_network_sees_the_same_pixels(
        self, doubling: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[np.ndarray] = []

        class Watched(NearestSession):
            def run(self, batch: Any) -> Any:
                seen.append(batch)
                return super().run(batch)

        files: list[tuple[bytes, bytes]] = []
        real = benchmark.upscale

        def upscaled(data: bytes, upscaler: Any) -> bytes:
            files.append((data, real(data, upscaler)))
            return files[-1][1]

        monkeypatch.setattr(benchmark, "open_session", lambda *_, **__: Watched(2))
        monkeypatch.setattr(benchmark, "upscale", upscaled)
        quick(doubling, warm_ups=1)

        source, result = (read_picture(data) for data in files[-1])
        assert (source.format, result.format) == ("PNG", "PNG")
        assert np.array_equal(to_uint8(result.pixels), to_uint8(source.pixels).repeat(2, 0).repeat(2, 1))
        assert {batch.shape for batch in seen} == {(1, 3, 8, 8)}
        assert all(np.abs(batch - seen[0]).max() <= 0.5 / 255 + 1e-6 for batch in seen)
        # Baseline and model, a network run and an end-to-end run each, in one warm-up and LEAST_RUNS rounds.
        assert len(files) == 2 * (LEAST_RUNS + 1)
        assert len(seen) == 4 * (LEAST_RUNS + 1)

    def test_figures_that_follow_from_others(self) -> None:
        row = quick("nearest", sizes=(16,)).rows[1]

        assert row.megapixels_per_second == pytest.approx(64 * 64 / row.end_to_end.median / 1e6)
        assert row.overhead == pytest.approx(max(0, 1 - row.network.median / row.end_to_end.median))
        assert 0 <= row.overhead < 1

    def test_options_reach_the_session_but_not_the_baseline(
        self, doubling: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[tuple[Any, dict[str, Any]]] = []

        def opening(model: Any, **options: Any) -> NearestSession:
            opened.append((model, options))
            return NearestSession(2)

        monkeypatch.setattr(benchmark, "open_session", opening)
        quick(doubling, threads=(2,), scale=2, backend="ncnn", device="cpu", precision="bf16")

        assert opened == [
            ("bicubic", {"scale": 2, "threads": 2}),
            (doubling, {"scale": 2, "threads": 2, "backend": "ncnn", "device": "cpu", "precision": "bf16"}),
        ]

    def test_no_threads_means_those_of_the_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(benchmark, "default_threads", lambda: 2)

        assert {row.threads for row in quick(threads=(0, 2)).rows} == {2}


@pytest.mark.usefixtures("_known_matrix")
class TestRunning:
    def test_progress_goes_from_nothing_to_all(self) -> None:
        told: list[tuple[int, int]] = []
        quick("nearest", sizes=(8, 9), report=lambda step: told.append((step.done, step.total)))

        assert told == [(done, 4) for done in range(5)]

    def test_progress_may_stop_the_work(self) -> None:
        def stop(step: Step) -> None:
            if step.done == 1:
                raise Cancelled

        with pytest.raises(Cancelled):
            quick("nearest", report=stop)

    @pytest.mark.parametrize(
        "wrong", [{"sizes": ()}, {"sizes": (8, 0)}, {"threads": (-1,)}, {"repeats": 2}, {"warm_ups": -1}]
    )
    def test_figures_that_make_no_sense_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidConfig, match=next(iter(wrong))):
            quick(**wrong)

    def test_an_unknown_model_is_refused(self) -> None:
        with pytest.raises(ModelNotFound, match="grandiose"):
            quick("grandiose")


class TestMatrixProduct:
    def test_it_is_measured_on_the_threads_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            benchmark, "_MATRIX_PROGRAM", "import os; print(1 / float(os.environ['OMP_NUM_THREADS'])); print(2)"
        )

        product = 2e-9 * benchmark._MATRIX_SIDE**3
        assert matrix_gflops(4) == pytest.approx([product * 4, product / 2])

    def test_its_speed_is_plausible(self, monkeypatch: pytest.MonkeyPatch) -> None:
        program = benchmark._MATRIX_PROGRAM.replace("(2048, 2048)", "(256, 256)")
        assert program != benchmark._MATRIX_PROGRAM
        monkeypatch.setattr(benchmark, "_MATRIX_PROGRAM", program)
        monkeypatch.setattr(benchmark, "_MATRIX_SIDE", 256)

        speeds = matrix_gflops(1)
        assert len(speeds) == 3
        assert all(0.01 < speed < 10_000 for speed in speeds)


@pytest.mark.usefixtures("_known_matrix")
class TestReport:
    @pytest.fixture
    def report(self, doubling: Bundle) -> BenchmarkReport:
        return quick(doubling, threads=(1, 2), warm_ups=1)

    def test_json_holds_everything(self, report: BenchmarkReport) -> None:
        document = json.loads(report.to_json())

        assert list(document) == ["machine", "versions", "warm_ups", "matrix_gflops", "rows", "format"]
        assert document["matrix_gflops"] == {"1": 50.0, "2": 80.0}
        assert document["warm_ups"] == 1
        assert len(document["rows"]) == 4
        row = document["rows"][1]
        assert {"model", "threads", "width", "megapixels_per_second", "overhead", "peak_bytes"} <= set(row)
        assert set(row["network"]) == {"median", "low", "high", "cpu", "runs"}
        assert row["network"]["median"] == pytest.approx(report.rows[1].network.median, rel=1e-5)

    def test_every_row_has_the_same_keys_in_json(self, report: BenchmarkReport) -> None:
        assert len({tuple(row) for row in json.loads(report.to_json())["rows"]}) == 1

    def test_json_rounds_to_what_a_person_can_tell_apart(self, report: BenchmarkReport) -> None:
        figures = re.findall(r"\d+\.\d+", report.to_json())

        assert figures
        assert all(len(figure.replace(".", "").strip("0")) <= 6 for figure in figures)

    def test_text_names_machine_versions_and_protocol(self, report: BenchmarkReport) -> None:
        text = report.render()

        assert report.machine.cpu in text
        assert f"numpy {np.__version__}" in text
        assert "50 GFLOP/s on 1 thread, 80 GFLOP/s on 2 threads" in text
        assert "Warm-ups: 1." in text

    def test_text_has_a_table_with_a_line_for_each_row(self, report: BenchmarkReport) -> None:
        lines = [line for line in report.render().splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

        assert len({len(line) for line in lines}) == 1
        assert [line[0] for line in cells[2:]] == ["bicubic", "doubling-x2"] * 2
        by_heading = dict(zip(cells[0], cells[3], strict=True))
        row = report.rows[1]
        assert by_heading["input"] == "8x8"
        assert by_heading["backend"] == "ncnn fp32"
        assert by_heading["network ms"] == str(row.network)
        assert by_heading["end to end ms"] == str(row.end_to_end)
        assert by_heading["runs"] == str(LEAST_RUNS)
        assert dict(zip(cells[0], cells[2], strict=True))["GFLOP/s"] == "-"

    def test_a_device_is_named_unless_it_is_the_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(benchmark, "open_session", lambda *_, **__: NearestSession(2, device="cuda:0"))

        assert "testing fp32 cuda:0" in quick().render()

    def test_tables_line_up(self) -> None:
        assert table(("name", "n"), [("a", "1"), ("longer", "23")]).splitlines() == [
            "| name   |  n |",
            "| ------ | -: |",
            "| a      |  1 |",
            "| longer | 23 |",
        ]


class TestSurroundings:
    def test_the_machine_is_described(self) -> None:
        machine = describe_machine()

        assert machine.cpu
        assert machine.cores >= 1
        assert str(machine.cores) in str(machine)
        assert machine.cpu in str(machine)

    def test_only_what_is_installed_has_a_version(self) -> None:
        assert library_versions(("numpy", "no-such-distribution")) == {"numpy": np.__version__}
        assert "srgan" in library_versions()


class TestSamplePicture:
    @pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 2), (64, 48)])
    def test_it_has_any_size(self, size: tuple[int, int]) -> None:
        picture = sample_picture(*size)

        assert picture.pixels.shape == (*size, 3)
        assert picture.pixels.min() >= 0
        assert picture.pixels.max() <= 1

    def test_it_is_always_the_same(self) -> None:
        assert np.array_equal(sample_picture(32, 32).pixels, sample_picture(32, 32).pixels)
        assert not np.array_equal(sample_picture(32, 32).pixels, sample_picture(32, 32, seed=1).pixels)

    def test_it_compresses_like_a_photograph(self) -> None:
        """Six photographs of 256 x 256 took 10.6 to 16.7 bits a pixel; flat colour takes none, plain noise 24."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(to_uint8(sample_picture(256, 256).pixels)).save(buffer, "PNG")

        assert 10.6 < 8 * len(buffer.getvalue()) / 256**2 < 16.7

    @pytest.mark.parametrize(("channels", "expected"), [(1, (1, 1, 4, 6)), (3, (1, 3, 4, 6))])
    def test_a_batch_is_what_a_session_takes(self, channels: int, expected: tuple[int, ...]) -> None:
        picture = sample_picture(4, 6)
        batch = as_batch(picture, channels)

        assert batch.shape == expected
        assert batch.dtype == np.float32
        assert batch.flags.c_contiguous
        assert np.array_equal(batch[0, 0], picture.pixels[..., 0])

    def test_what_is_encoded_is_what_the_network_sees(self) -> None:
        picture = sample_picture(8, 8)
        again = read_picture(encode_picture(picture, "PNG"))

        assert isinstance(again, Picture)
        assert np.abs(as_batch(again, 3) - as_batch(picture, 3)).max() <= 0.5 / 255 + 1e-6
