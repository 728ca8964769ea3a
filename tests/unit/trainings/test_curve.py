"""What a learning curve tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.trainings.curve import Curve


def curve(*rows: tuple[int, float, float], figure: str = "psnr", first: int = 0) -> Curve:
    return Curve(tuple({"step": s, "seconds": t, figure: value} for s, t, value in rows), figure, first)


def test_a_run_that_becomes_better_is_not_flat() -> None:
    rising = curve((100, 600, 30.0), (200, 1200, 30.5), (300, 1800, 31.0))

    assert rising.flat_for() == 0
    assert rising.said() == "psnr 31.000 at step 300"
    assert (rising.step, rising.seconds(), rising.seconds(after=100)) == (300, 1800, 1200)
    assert rising.speed() == pytest.approx(1 / 6)


def test_flat_is_the_work_since_the_best() -> None:
    level = curve((100, 600, 30.0), (200, 1200, 30.5), (300, 1800, 30.5), (400, 2400, 30.4))

    assert level.flat_for() == 1200  # as good is no better
    assert level.best is not None
    assert level.best["step"] == 200


def test_of_some_figures_less_is_better() -> None:
    falling = curve((100, 600, 0.3), (200, 1200, 0.2), (300, 1800, 0.25), figure="stlpips-alex")

    assert falling.flat_for() == 600
    assert falling.said() == "stlpips-alex 0.2000 at step 200"


def test_a_pause_is_no_work() -> None:
    rows = [(100, 600, 30.0), (200, 1200, 29.0), (300, 1800, 29.0), (400, 2400 + 36_000, 29.0), (500, 39_000, 29.0)]
    paused = curve(*rows)

    assert paused.flat_for() == 600 + 600 + 3 * 600 + 600
    assert paused.speed() == pytest.approx(1 / 6)


def test_a_run_that_goes_on_behind_others_counts_its_own() -> None:
    later = curve((1100, 600, 30.0), (1200, 1200, 31.0), first=1000)

    assert later.speed() == pytest.approx(1 / 6)
    assert later.seconds() == 1200


def test_there_may_be_no_curve_yet(tmp_path: Path) -> None:
    empty = Curve.of(tmp_path, first=7)

    assert (empty.rows, empty.step, empty.best, empty.said()) == ((), 7, None, "")
    assert (empty.speed(), empty.flat_for(), empty.seconds()) == (None, 0, 0)


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text("step,seconds,loss,psnr\n100,5.0,0.1,30.5\nbad,line\n200,10.0,0.1,31.5\n300,1")
    known = Curve.of(tmp_path)

    assert [row["step"] for row in known.rows] == [100, 200]
    assert known.said() == "psnr 31.500 at step 200"


def test_a_figure_that_the_curve_lacks_is_no_best() -> None:
    assert Curve(({"step": 100, "seconds": 5.0, "psnr": 30.0},), "ssim").best is None
