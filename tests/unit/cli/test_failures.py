"""Exit codes, and what stands on stderr when a command ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from srgan import errors
from srgan.cli.failures import EXIT_CODES, OutputClosed, as_exit_code, complain, exit_code_of
from srgan.cli.output import set_verbosity, start_logging

ALL_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SrganError)]


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    log = logging.getLogger("srgan")
    before = (log.handlers[:], log.level, log.propagate)
    start_logging()
    yield
    log.handlers[:], log.propagate = before[0], before[2]
    log.setLevel(before[1])


def code_after(error: BaseException) -> int:
    """The exit code when the work raises ``error``."""
    with pytest.raises(SystemExit) as stop, as_exit_code():
        raise error
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_has_exactly_one_place_in_the_table(kind: type[errors.SrganError]) -> None:
    places = [code for code, (_, kinds) in EXIT_CODES.items() if kind in kinds]
    assert len(places) == 1
    error = kind.__new__(kind)
    assert exit_code_of(error) == places[0]


def test_an_error_of_a_plug_in_takes_the_code_of_its_base() -> None:
    class Special(errors.CannotWrite):
        """Nothing can be written here."""

    assert exit_code_of(Special()) == 7


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidConfig("x"), 2),
        (errors.InvalidImage("x"), 3),
        (errors.LimitExceeded("x"), 3),
        (errors.ModelNotFound("x"), 4),
        (errors.MissingDependency("torch", "train"), 5),
        (errors.DeviceUnavailable("x"), 5),
        (errors.OutOfMemory("x"), 6),
        (MemoryError(), 6),
        (errors.CannotWrite("x"), 7),
        (errors.Cancelled("x"), 130),
        (KeyboardInterrupt(), 130),
        (OutputClosed(), 141),
        (ValueError("x"), 70),
    ],
)
def test_what_the_work_raises_decides_the_code(error: BaseException, code: int) -> None:
    assert code_after(error) == code


def test_a_deliberate_error_is_one_line_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code_after(errors.InvalidImage("cat.png: is empty"))
    assert capsys.readouterr() == ("", "srgan: error: cat.png: is empty\n")


def test_each_mistake_of_a_configuration_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    complain("a: wrong\nb: wrong")
    assert capsys.readouterr().err == "srgan: error: a: wrong\nsrgan: error: b: wrong\n"


@pytest.mark.parametrize("way", ["-vv", "SRGAN_DEBUG"])
def test_a_traceback_is_shown_on_request(
    way: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "-vv":
        set_verbosity(2, quiet=False)
    else:
        monkeypatch.setenv("SRGAN_DEBUG", "1")
    code_after(errors.InvalidImage("cat.png: is empty"))
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("srgan: error: cat.png: is empty\n")


def test_a_bug_shows_its_traceback_and_how_to_report_it(capsys: pytest.CaptureFixture[str]) -> None:
    code_after(ZeroDivisionError("boom"))
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "ZeroDivisionError: boom" in err
    assert err.splitlines()[-1].startswith("srgan: error: this is a bug in srgan (ZeroDivisionError); please report it")


def test_being_stopped_is_said_without_calling_it_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    code_after(errors.Cancelled("runs/x: stopped at step 3"))
    code_after(KeyboardInterrupt())
    assert capsys.readouterr().err == "srgan: runs/x: stopped at step 3\nsrgan: stopped\n"


def test_a_block_that_goes_well_changes_nothing() -> None:
    with as_exit_code():
        pass
    with pytest.raises(SystemExit, match="143"), as_exit_code():
        raise SystemExit(143)
