"""What every layer of tests shares: where pictures are, and a surrounding that no user's settings leak into."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from srgan.models import Bundle

ROOT = Path(__file__).resolve().parents[1]

# Processes of tests run side by side, each on one core: threads that wait for a second one burn it. Libraries count
# cores when they are loaded, so this comes before them. Tests of several threads ask for several.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

# A shell that starts the tests in the background lets them ignore Ctrl-C, nohup the end of the terminal, and what they
# start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How often a property is tried, and without a time limit: a busy machine is no defect. `make soak` takes the second.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("soak", max_examples=1000, deadline=None)
settings.load_profile("quick")

LONGEST_FIRST = ("tests/acceptance", "tests/integration", "tests/gpu", "tests/architecture", "tests/unit")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of small pictures that the project ships."""
    return ROOT / "examples"


@pytest.fixture(scope="session")
def data_folder() -> Callable[[str], Path]:
    """Gives a sub-folder of the data folder (``eval/Set5``), or skips the test where it is not.

    The data folder is ``$SRGAN_DATA``, else ``../shared/data`` beside the checkout. Its pictures are not the project's.
    """
    top = Path(os.environ.get("SRGAN_DATA") or ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        path = top / name
        if not path.exists():
            pytest.skip(f"no {name} in the data folder; set SRGAN_DATA to a folder that has it")
        return path

    return find


@pytest.fixture(scope="session")
def make_latent() -> Callable[..., Bundle]:
    """``make_latent(path, **fields of the info)`` writes a latent model that is linear, for ncnn, without torch.

    Of 4 numbers of noise it makes codes 6 x 4 x 4, and of each place of a code a block of 16 x 16 pixels: channels 0 to
    2 raise a colour by an eighth, 3 to 5 are slopes from left to right in a colour. The encoder finds them again.
    """
    import numpy as np

    from srgan.models import ModelInfo, write_bundle

    slope = np.linspace(-1, 1, 16, dtype=np.float32) / np.float32(8)
    shapes = np.zeros((6, 3, 16, 16), np.float32)
    for colour in range(3):
        shapes[colour, colour], shapes[colour + 3, colour] = 0.125, slope
    analysis = shapes / np.square(shapes).sum(axis=(1, 2, 3), keepdims=True)
    mixing = np.random.default_rng(8).standard_normal((6, 4, 4, 4)).astype(np.float32) / 2  # out, in, height, width
    layers = {
        "generator": ("Deconvolution", "0=6 1=4 3=1", mixing, np.zeros(6)),
        "decoder": ("Deconvolution", "0=3 1=16 3=16", shapes.swapaxes(0, 1), np.full(3, 0.5)),
        "encoder": ("Convolution", "0=6 1=16 3=16", analysis, -0.5 * analysis.sum(axis=(1, 2, 3))),
    }
    files = {}
    for part, (kind, options, kernel, bias) in layers.items():
        graph = f"7767517\n2 2\nInput in0 0 1 in0\n{kind} all 1 1 in0 out0 {options} 5=1 6={kernel.size}\n"
        files[f"{part}.ncnn.param"] = graph.encode()
        stored = (np.ascontiguousarray(values, np.float32).tobytes() for values in (kernel, bias))
        files[f"{part}.ncnn.bin"] = b"\0\0\0\0" + b"".join(stored)

    def make(path: Path, **changes: Any) -> Bundle:
        latent = {"noise": 4, "code": (6, 4, 4), "side": 64, **changes.pop("latent", {})}
        fields = {"name": "linear", "network": "latent", "scale": 1, "radius": 0, "multiple": 16, "version": "1.2.0"}
        return write_bundle(path, ModelInfo(**{**fields, "latent": latent, **changes}), files)

    return make


@pytest.fixture(scope="session", autouse=True)
def _clean_surrounding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No ``SRGAN_*`` setting and no model of the person who runs the tests reaches them, nor their subprocesses."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("SRGAN_") and name != "SRGAN_DATA":
                patch.delenv(name)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_COLOR", "1")
        patch.setenv("COLUMNS", "120")
        yield


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The command line sets up the package's logger; what one test makes of it must not reach the next."""
    logger = logging.getLogger("srgan")
    before = (logger.level, logger.propagate, logger.disabled, list(logger.handlers))
    yield
    logger.setLevel(before[0])
    logger.propagate, logger.disabled, logger.handlers[:] = before[1:]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the tests, what takes longest comes first: none has it left when the others are done."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: next(i for i, top in enumerate(LONGEST_FIRST) if item.nodeid.startswith(top)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is there by now stays: to look for garbage in it, as some tests do over and over, takes 0.2 s each time."""
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked ``gpu`` where torch sees no CUDA device."""
    if item.get_closest_marker("gpu") is None:
        return
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
