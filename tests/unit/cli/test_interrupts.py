"""What signals become: a wish to stop, an end at once, and an exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from srgan.cli.interrupts import stopping
from srgan.errors import Cancelled

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such signals here")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def send(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def work(*numbers: signal.Signals) -> None:
    """Something that is signalled and ends."""
    send(*numbers)
    raise Cancelled("stopped at step 3")


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_is_a_wish_and_is_answered_at_once(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with stopping("saving") as stop:
        assert not stop.is_set()
        send(number)
        assert stop.is_set()
        assert capsys.readouterr().err == "srgan: saving; another Ctrl-C stops at once\n"
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_second_ctrl_c_ends_the_work() -> None:
    with pytest.raises(KeyboardInterrupt), stopping("saving"):
        send(signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stopping("saving"):
        send(signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize(
    ("second", "launcher"), [(signal.SIGTERM, ""), (signal.SIGINT, "torchrun")], ids=["SIGTERM", "passed on"]
)
def test_what_a_launcher_sends_after_ctrl_c_is_not_a_second_one(
    second: signal.Signals, launcher: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if launcher:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", launcher)
    with stopping("saving") as stop:
        send(signal.SIGINT, second)
        assert stop.is_set()
    assert capsys.readouterr().err.count("saving") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_was_stopped_by_another_signal_has_its_exit_code(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, stopping("saving"):
        work(number, signal.SIGTERM)
    assert caught.value.code == code
    assert capsys.readouterr().err.endswith("srgan: stopped at step 3\n")


def test_what_was_stopped_by_ctrl_c_or_by_itself_passes() -> None:
    with pytest.raises(Cancelled), stopping("saving"):
        work(signal.SIGINT)
    with pytest.raises(Cancelled), stopping("saving"):
        work()


def test_a_signal_that_is_to_be_ignored_is_ignored() -> None:
    """As nohup has it."""
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from srgan.cli.interrupts import stopping\n"
        "with stopping('saving') as stop:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    assert not stop.is_set()\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_elsewhere_than_in_the_main_thread_nothing_is_set_up() -> None:
    seen = []

    def look() -> None:
        with stopping("saving") as stop:
            seen.append((stop.is_set(), signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
