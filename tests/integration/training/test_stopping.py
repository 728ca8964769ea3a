"""An end on request: from any thread, and by signals on the command line alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import Cancelled  # noqa: E402
from srgan.progress import Step, Stop  # noqa: E402
from srgan.training import TrainConfig, train  # noqa: E402
from srgan.training.data import TileStore  # noqa: E402

Config = Callable[..., TrainConfig]
quick = pytest.mark.usefixtures("quick_export")
posix = pytest.mark.skipif(os.name == "nt", reason="no such signals here")


def checkpoints(config: TrainConfig) -> list[int]:
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.iterdir())


def when(step: int, stop: Stop) -> Callable[[Step], None]:
    """A report that wishes the end once so many steps are done."""
    return lambda told: stop.set() if told.done >= step else None


def test_the_wish_is_answered_after_the_step_with_a_checkpoint(make_config: Config) -> None:
    config, stop = make_config(steps=100), Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    during: list[dict[int, Any]] = []

    def report(step: Step) -> None:
        during.append({number: signal.getsignal(number) for number in before})
        when(40, stop)(step)

    with pytest.raises(Cancelled, match=r"tiny.001: stopped at step 41 of 100; the same command without --fresh"):
        train(config, report=report, stop=stop)

    assert checkpoints(config) == [41]
    assert during == [before] * 3, "the library has no signal handlers"
    assert not (config.output.runs / "tiny" / "001" / "bundle").exists()


@quick
def test_it_trains_in_any_thread_and_goes_on_exactly(make_config: Config) -> None:
    straight, broken = make_config(steps=80), make_config(steps=80, output__name="broken")
    train(straight)
    caught: list[BaseException] = []
    stop, begun = Stop(), threading.Event()

    def work() -> None:
        try:
            train(broken, report=lambda _: begun.set(), stop=stop)
        except Cancelled as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(300)
    stop.set()
    thread.join(300)
    assert len(caught) == 1

    train(broken)
    folders = [config.output.runs / config.output.name / "001" / "checkpoints" for config in (straight, broken)]
    one, other = (load_file(max(folder.glob("*.safetensors"))) for folder in folders)
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_a_wish_that_is_there_already_ends_it_while_pictures_are_decoded(
    make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()
    stop.set("enough")
    decoded = []
    put = TileStore._put

    def counting(self: TileStore, index: int, tiles: Any) -> None:
        put(self, index, (decoded.append(tile) or tile for tile in tiles))

    monkeypatch.setattr(TileStore, "_put", counting)
    with pytest.raises(Cancelled, match="enough"):
        train(make_config(), stop=stop)
    assert decoded == []


def test_after_the_last_step_the_model_is_still_to_be_written(
    make_config: Config, monkeypatch: pytest.MonkeyPatch, quick_export: None
) -> None:
    said = r"tiny.001: all steps are done, and the same command, without --fresh, wr"
    stop = Stop()
    with pytest.raises(Cancelled, match=said):
        train(make_config(steps=2), report=when(2, stop), stop=stop)

    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("srgan.networks.export.export_forms", interrupted)
        with pytest.raises(Cancelled, match=said):
            train(make_config(steps=2))
    assert train(make_config(steps=2)).info.provenance.steps == 2


@quick
def test_the_process_is_left_as_it_was(make_config: Config) -> None:
    """Threads, switches, random numbers, variables and log levels, after an end, an error and a wish alike."""
    import logging

    def seen() -> list[Any]:
        return [
            torch.get_num_threads(),
            torch.backends.cudnn.benchmark,
            torch.get_float32_matmul_precision(),
            torch.initial_seed(),
            torch.get_rng_state().tolist(),
            dict(os.environ),
            logging.getLogger("srgan").level,
            logging.getLogger("lightning_fabric").level,
            {number: signal.getsignal(number) for number in signal.valid_signals()},
        ]

    train(make_config(steps=1, output__name="first"))  # what importing sets is not of a training
    torch.manual_seed(77)
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("medium")
    torch.rand(3)
    try:
        before = seen()
        train(make_config(steps=2, hardware__threads=1))
        assert seen() == before
        stop = Stop()
        with pytest.raises(Cancelled):
            train(make_config(steps=60, output__name="stopped"), report=when(20, stop), stop=stop)
        assert seen() == before
        with pytest.raises(ZeroDivisionError):
            train(make_config(steps=60, output__name="broken"), report=lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
        assert seen() == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_importing_the_libraries_changes_no_variable(tmp_path: Path) -> None:
    program = (
        "import os; before = dict(os.environ)\n"
        "from srgan.training.process import borrowed\n"
        "with borrowed(): import lightning_fabric\n"
        "assert dict(os.environ) == before, {k: v for k, v in os.environ.items() if before.get(k) != v}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --------------------------------------------------------------------------------------------------- command line


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_command_that_is_signalled_saves_and_says_how_to_go_on(
    name: str, code: int, make_config: Config, tmp_path: Path
) -> None:
    config = make_config(steps=100_000)
    (tmp_path / "mine.json").write_text(config.model_dump_json())
    command = [sys.executable, "-m", "srgan", "train", "--config", str(tmp_path / "mine.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        first = child.stderr.readline()
        assert first.startswith("training: ")
        child.send_signal(getattr(signal, name))
        out, err = child.communicate(timeout=300)

    assert (child.returncode, out) == (code, "")
    assert "srgan: stopping after this step, with a checkpoint; another Ctrl-C stops at once\n" in err
    assert err.endswith(" of 100000; the same command without --fresh continues from there\n")
    assert len(checkpoints(config)) >= 1
    assert max(checkpoints(config)) > 0
