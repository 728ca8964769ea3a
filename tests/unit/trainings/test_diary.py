"""The training log."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from scripts.trainings.curve import Curve
from scripts.trainings.diary import LINES, TITLE, Diary

MONDAY, TUESDAY = date(2026, 11, 30), date(2026, 12, 1)


def curve(last: int, every: int = 100, first: int = 0) -> Curve:
    rows = [
        {"step": step, "seconds": (step - first) * 3.6, "loss": 0.1, "psnr": 30 + step / 1000, "ssim": 0.8}
        for step in range(first + every, last + 1, every)
    ]
    return Curve(tuple(rows), "psnr", first)


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "log.md")


def test_a_day_is_a_section_with_steps_hours_and_figures(diary: Diary) -> None:
    diary.tell("fast-x4", MONDAY, curve(3000, 1000), 30_000)

    assert diary.path.read_text() == (
        f"{TITLE}\n"
        "## fast-x4, 2026-11-30\n"
        "\n"
        "Steps 0 to 3,000 of 30,000 in 3.0 hours, 0.28 steps/s; best so far: psnr 33.000 at step 3000.\n"
        "\n"
        "| step | psnr | ssim |\n"
        "|---|---|---|\n"
        "| 1,000 | 31.000 | 0.8000 |\n"
        "| 2,000 | 32.000 | 0.8000 |\n"
        "| 3,000 | 33.000 | 0.8000 |\n"
    )


def test_the_same_day_is_told_anew_and_the_next_from_there_on(diary: Diary) -> None:
    diary.tell("fast-x4", MONDAY, curve(200), 1000)
    diary.tell("fast-x4", MONDAY, curve(500), 1000)
    first = diary.path.read_text()
    assert first.count("## ") == 1
    assert "Steps 0 to 500 of 1,000 in 0.5 hours" in first

    diary.tell("fast-x4", TUESDAY, curve(700), 1000)
    second = diary.path.read_text()
    assert second.startswith(first)
    assert "## fast-x4, 2026-12-01\n\nSteps 500 to 700 of 1,000 in 0.2 hours" in second
    assert second.count("| 500 |") == 1


def test_what_is_known_already_is_not_written_again(diary: Diary) -> None:
    diary.tell("fast-x4", MONDAY, curve(500), 1000)
    before = diary.path.read_text()
    diary.tell("fast-x4", TUESDAY, curve(500), 1000)
    diary.tell("other-x4", TUESDAY, curve(0), 1000)

    assert diary.path.read_text() == before


def test_runs_do_not_mix(diary: Diary) -> None:
    diary.tell("fast-x4", MONDAY, curve(500), 1000)
    diary.tell("fast-x2", MONDAY, curve(300), 1000)
    diary.tell("fast-x4", MONDAY, curve(600), 1000)

    assert [line for line in diary.path.read_text().splitlines() if line.startswith(("##", "Steps"))] == [
        "## fast-x4, 2026-11-30",
        "Steps 0 to 600 of 1,000 in 0.6 hours, 0.28 steps/s; best so far: psnr 30.600 at step 600.",
        "## fast-x2, 2026-11-30",
        "Steps 0 to 300 of 1,000 in 0.3 hours, 0.28 steps/s; best so far: psnr 30.300 at step 300.",
    ]


def test_a_run_that_began_anew_is_told_from_its_beginning(diary: Diary) -> None:
    diary.tell("fast-x4", MONDAY, curve(900), 1000)
    diary.tell("fast-x4", TUESDAY, curve(400), 1000)

    assert "## fast-x4, 2026-12-01\n\nSteps 0 to 400" in diary.path.read_text()


def test_a_run_behind_others_begins_there(diary: Diary) -> None:
    diary.tell("fast-x4", MONDAY, curve(600, first=400), 1000)

    assert "Steps 400 to 600 of 1,000 in 0.2 hours" in diary.path.read_text()


def test_a_long_day_is_shown_at_even_distances_with_its_end(diary: Diary) -> None:
    diary.tell("fast-x4", MONDAY, curve(10_000), 10_000)
    rows = [line for line in diary.path.read_text().splitlines() if line.startswith("| ") and "step" not in line]

    assert len(rows) == LINES
    assert rows[-1].startswith("| 10,000 |")


def test_notes_outlive_what_is_told_anew_and_come_once(diary: Diary) -> None:
    diary.tell("fast-x4", MONDAY, curve(200), 1000)
    diary.add("fast-x4", MONDAY, "Harvested: step 200 is\nnot shipped.")
    diary.add("fast-x4", MONDAY, "Harvested: step 200 is not shipped.")
    diary.tell("fast-x4", MONDAY, curve(300), 1000)
    diary.add("fast-x4", MONDAY, "Harvested: step 300 is shipped.")
    diary.add("slow-x4", TUESDAY, "Only a note.")

    text = diary.path.read_text()
    assert text.endswith(
        "| 300 | 30.300 | 0.8000 |\n\n- Harvested: step 200 is not shipped.\n- Harvested: step 300 is shipped.\n"
        "\n## slow-x4, 2026-12-01\n\n- Only a note.\n"
    )
    diary.add("slow-x4", TUESDAY, "Only a note.")
    assert diary.path.read_text() == text
