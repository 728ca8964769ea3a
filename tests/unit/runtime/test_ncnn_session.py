"""Running and loading with ncnn, on a network of one layer whose result is known by arithmetic."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import (
    Closed,
    CorruptModel,
    InvalidConfig,
    OutOfMemory,
    UnsupportedModel,
    UpscaleFailed,
)
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.runtime import ncnn as backend
from srgan.runtime.ncnn import NcnnSession, open_ncnn
from srgan.runtime.session import describe

INFO = ModelInfo(name="twice-x2", network="none", scale=2, radius=1, minimum=3, working_bytes_per_pixel=99)
GRAPH = """7767517
3 3
Input in0 0 1 in0
Convolution spread 1 1 in0 wide 0=12 1=1 4=0 5=1 6=36
PixelShuffle shuffle 1 1 wide out0 0=2 1=0
"""
"""Each output pixel is a colour of the input pixel above it times its own weight, plus its own bias."""


def weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """12 x 3 and 12: channel 4 c + k of the convolution is input channel c times (k + 1), plus c / 8."""
    kernel = np.zeros((12, 3), np.float32)
    bias = np.zeros(12, np.float32)
    for channel in range(12):
        kernel[channel, channel // 4] = channel % 4 + 1
        bias[channel] = channel // 4 / 8
    return kernel, bias


def stored() -> bytes:
    kernel, bias = weights()
    return b"\0\0\0\0" + kernel.tobytes() + bias.tobytes()


def expected(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.empty((*batch.shape[:2], batch.shape[2] * 2, batch.shape[3] * 2), np.float32)
    offset = np.arange(3, dtype=np.float32)[:, None, None] / 8
    for k in range(4):
        out[:, :, k // 2 :: 2, k % 2 :: 2] = batch * (k + 1) + offset
    return out


Make = Callable[..., Bundle]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(graph: str = GRAPH, data: bytes | None = None, info: ModelInfo = INFO) -> Bundle:
        files = {"model.ncnn.param": graph.encode(), "model.ncnn.bin": stored() if data is None else data}
        return write_bundle(tmp_path / "bundle", info, files)

    return make


def opened(bundle: Bundle, device: str = "cpu", precision: str = "auto", threads: int = 1) -> NcnnSession:
    return open_ncnn(bundle, device=device, precision=precision, threads=threads)


def random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).random(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 3, 1, 1), (1, 3, 5, 7), (3, 3, 6, 5), (1, 3, 1, 33)])
def test_runs_any_size_and_batch(make: Make, shape: tuple[int, ...]) -> None:
    batch = random(*shape)

    out = opened(make()).run(batch)

    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected(batch), atol=1e-6)


def test_takes_pixels_in_any_layout_and_leaves_them_alone(make: Make) -> None:
    interleaved = random(1, 9, 11, 3).transpose(0, 3, 1, 2)
    before = interleaved.copy()

    np.testing.assert_allclose(
        opened(make()).run(interleaved[:, :, ::2, 1:]), expected(before[:, :, ::2, 1:]), atol=1e-6
    )
    np.testing.assert_array_equal(interleaved, before)


def test_tells_what_a_caller_must_know(make: Make) -> None:
    info = opened(make()).info

    assert (info.model, info.scale, info.channels, info.radius, info.multiple, info.minimum) == (
        "twice-x2",
        2,
        3,
        1,
        1,
        3,
    )
    assert (info.backend, info.device, info.precision, info.working_bytes_per_pixel) == ("ncnn", "cpu", "fp32", 99)


def test_the_weights_stay_when_their_bytes_are_gone(make: Make) -> None:
    session = opened(make())
    gc.collect()
    junk = [os.urandom(len(stored())) for _ in range(2000)]

    np.testing.assert_allclose(session.run(random(1, 3, 8, 8)), expected(random(1, 3, 8, 8)), atol=1e-6)
    assert junk


def test_the_result_outlives_the_session(make: Make) -> None:
    session = opened(make())
    out = session.run(random(1, 3, 64, 64))
    del session
    gc.collect()
    junk = [np.full((3, 128, 128), 7, np.float32) for _ in range(20)]

    np.testing.assert_allclose(out, expected(random(1, 3, 64, 64)), atol=1e-6)
    assert junk


def test_two_sessions_do_not_disturb_each_other(make: Make, tmp_path: Path) -> None:
    first = opened(make())
    kernel, bias = weights()
    second = opened(make(data=b"\0\0\0\0" + (kernel * 2).tobytes() + (bias * 2).tobytes()))

    batch = random(1, 3, 6, 6)
    np.testing.assert_allclose(second.run(batch), 2 * first.run(batch), atol=1e-5)


def test_half_precision_weights_are_read(make: Make) -> None:
    kernel, bias = weights()

    session = opened(make(data=b"\x47\x6b\x30\x01" + kernel.astype(np.float16).tobytes() + bias.tobytes()))

    np.testing.assert_allclose(session.run(random(1, 3, 4, 4)), expected(random(1, 3, 4, 4)), atol=1e-6)


def test_threads_take_turns(make: Make) -> None:
    session = opened(make())
    batches = [random(1, 3, 40 + n, 40) for n in range(8)]
    results: dict[int, NDArray[np.float32]] = {}

    threads = [threading.Thread(target=lambda n=n: results.update({n: session.run(batches[n])})) for n in range(8)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for n, batch in enumerate(batches):
        np.testing.assert_allclose(results[n], expected(batch), atol=1e-6)


def test_other_threads_go_on_during_a_run(make: Make) -> None:
    session = opened(make())
    batch = random(1, 3, 1500, 1500)
    session.run(batch)
    beats: list[float] = []
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.001):
            beats.append(time.perf_counter())

    thread = threading.Thread(target=beat)
    thread.start()
    start = time.perf_counter()
    session.run(batch)
    end = time.perf_counter()
    done.set()
    thread.join()

    inside = [beat for beat in beats if start < beat < end]
    assert len(inside) >= 3, f"{len(inside)} beats in {end - start:.3f} s"


@pytest.mark.parametrize("shape", [(700, 30), (30, 700)])
def test_a_picture_in_bands_is_the_picture_in_one_piece(make: Make, shape: tuple[int, int]) -> None:
    batch = random(1, 3, *shape)

    np.testing.assert_allclose(opened(make(), threads=3).run(batch), expected(batch), atol=1e-6)


def test_an_idle_session_costs_no_cpu(make: Make) -> None:
    session = opened(make(), threads=2)
    session.run(random(1, 3, 600, 600))
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.5)

    assert time.process_time() - before < 0.1


LOADING = """
import os, sys
from srgan.runtime.ncnn import _engine

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "ncnn":
            print(os.environ.get("OMP_WAIT_POLICY"))

sys.meta_path.insert(0, Watch())
_engine()
print(os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, ["passive", "None"]),
        ({"OMP_WAIT_POLICY": "active"}, ["active", "active"]),
        ({"GOMP_SPINCOUNT": "9"}, ["None", "None"]),
    ],
)
def test_waiting_threads_sleep_unless_the_user_wants_otherwise(environment: dict[str, str], said: list[str]) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    command = [sys.executable, "-c", LOADING]

    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)

    assert done.stdout.split() == said


# ------------------------------------------------------------------------------------------------- precision


def test_bf16_is_there_when_asked_for(make: Make) -> None:
    session = opened(make(), precision="bf16")

    error = np.abs(session.run(random(1, 3, 16, 16)) - expected(random(1, 3, 16, 16))).max()

    assert session.info.precision == "bf16"
    assert 1e-4 < error < 2e-2 * 4


def test_fp16_needs_a_processor_that_has_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import ncnn

    monkeypatch.setattr(ncnn, "cpu_support_arm_asimdhp", lambda: 0)
    with pytest.raises(InvalidConfig, match="not fp16"):
        opened(make(), precision="fp16")
    monkeypatch.setattr(ncnn, "cpu_support_arm_asimdhp", lambda: 1)
    assert opened(make(), precision="fp16").info.precision == "fp16"


@pytest.mark.parametrize(("kernel", "sgemm"), [(1, True), (3, True), (9, False)])
def test_large_kernels_are_not_run_as_matrix_products(kernel: int, sgemm: bool) -> None:
    import ncnn

    pad = kernel // 2
    graph = (
        f"7767517\n2 2\nInput in0 0 1 in0\nConvolution c 1 1 in0 out0 0=3 1={kernel} 4={pad} 5=1 6={9 * kernel**2}\n"
    )
    net = backend._load(ncnn.Option(), None, graph, b"\0" * (4 + 4 * 9 * kernel**2 + 12), "here", 1)

    assert net.opt.use_sgemm_convolution is sgemm


# ------------------------------------------------------------------------------------------- damaged bundles


def test_a_bundle_without_the_form(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", INFO, {"model.onnx": b"x", "model.ncnn.bin": b"x"})

    with pytest.raises(UnsupportedModel, match="twice-x2 has no ncnn form"):
        opened(bundle)


@pytest.mark.parametrize("cut", [1, 12, 30, 48, 150, 195])
def test_weights_that_end_too_early(make: Make, cut: int) -> None:
    with pytest.raises(CorruptModel, match="ncnn cannot load the model"):
        opened(make(data=stored()[:-cut]))


def test_weights_that_go_on_too_long(make: Make) -> None:
    with pytest.raises(CorruptModel, match="4 bytes more"):
        opened(make(data=stored() + b"\0\0\0\0"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (GRAPH, "", "damaged"),
        ("PixelShuffle", "NoSuchLayer", "NoSuchLayer"),
        ("out0", "out7", "the output out0"),
        ("in0", "data", "the input in0"),
        ("4=0", "4=65536", "a convolution has the setting 4=65536"),
        ("6=36", "6=720000000", "ncnn cannot load the model"),
    ],
)
def test_a_damaged_graph_is_an_error_not_a_crash(make: Make, old: str, new: str, message: str) -> None:
    assert old in GRAPH
    with pytest.raises(CorruptModel, match=message) as caught:
        opened(make(graph=GRAPH.replace(old, new)))
    assert "bundle" in str(caught.value)


def test_what_ncnn_says_stays_off_the_terminal_unless_it_is_for_the_user(
    make: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CorruptModel):
        opened(make(graph=GRAPH.replace("PixelShuffle", "NoSuchLayer")))
    opened(make())

    assert capfd.readouterr().err == ""


def test_standard_error_is_whole_after_many_threads_captured_it(capfd: pytest.CaptureFixture[str]) -> None:
    def capture() -> None:
        for _ in range(30):
            with backend._captured_stderr() as lines:
                time.sleep(0.001)
                os.write(2, b"caught\n")
            assert lines == ["caught"]

    threads = [threading.Thread(target=capture) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"free\n")

    assert capfd.readouterr().err == "free\n"


def test_without_a_place_for_files_ncnn_just_speaks(
    make: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(backend, "_scratch_file", full)

    assert opened(make()).run(random(1, 3, 4, 4)).shape == (1, 3, 8, 8)
    with pytest.raises(CorruptModel, match="do not fit together"):
        opened(make(graph=GRAPH.replace("PixelShuffle", "NoSuchLayer")))
    assert "NoSuchLayer" in capfd.readouterr().err


def test_a_process_without_standard_error_can_open_models(make: Make) -> None:
    code = (
        "import os, sys; os.close(2); from srgan.runtime import open_session\n"
        "import numpy as np; print(open_session(sys.argv[1], device='cpu').run(np.zeros((1, 3, 2, 2), 'f4')).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(make().path)], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "(1, 3, 4, 4)"


# ---------------------------------------------------------------------------------------------------- memory

OUT_OF_MEMORY = """
import resource, sys
import numpy as np
from srgan.errors import OutOfMemory
from srgan.runtime import open_session

session = open_session(sys.argv[1], backend="ncnn", device="cpu", threads=1)
small = np.ones((1, 3, 8, 8), np.float32)
before = session.run(small)
batch = np.zeros((1, 3, 2000, 2000), np.float32)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]) * 2**20, resource.RLIM_INFINITY))
try:
    session.run(batch)
except OutOfMemory as error:
    print(error)
assert (session.run(small) == before).all()
print("still works")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
@pytest.mark.parametrize("megabytes", [2, 60, 150])
def test_memory_that_runs_out_is_told_and_survived(make: Make, megabytes: int) -> None:
    command = [sys.executable, "-c", OUT_OF_MEMORY, str(make().path), str(megabytes)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout.splitlines() == [
        "twice-x2: not enough memory on cpu for 2000 x 2000 pixels in one piece",
        "still works",
    ]
    assert (done.returncode, done.stderr) == (0, "")


class FakeExtractor:
    def __init__(self, status: int) -> None:
        self.status = status

    def __enter__(self) -> FakeExtractor:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def input(self, name: str, pixels: object) -> int:
        return 0

    def extract(self, name: str) -> tuple[int, None]:
        return self.status, None


class FakeNet:
    def __init__(self, status: int) -> None:
        self.status = status

    def create_extractor(self) -> FakeExtractor:
        return FakeExtractor(self.status)


def failing(status: int) -> tuple[NcnnSession, list[FakeNet]]:
    made: list[FakeNet] = []

    def load(threads: int) -> FakeNet:
        made.append(FakeNet(status))
        return made[-1]

    return NcnnSession(load, describe(INFO, backend="ncnn", device="cpu", precision="fp32")), made


def test_the_network_is_loaded_anew_after_the_memory_ran_out() -> None:
    session, made = failing(-100)

    for _ in range(2):
        with pytest.raises(OutOfMemory):
            session.run(random(2, 3, 4, 4))
    assert len(made) == 2


def test_another_failure_is_told_with_its_code() -> None:
    session, made = failing(-7)

    with pytest.raises(UpscaleFailed, match="code -7"):
        session.run(random(1, 3, 4, 4))
    assert len(made) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_an_output_of_another_size_is_refused(make: Make, count: int) -> None:
    session = opened(make(info=INFO.model_copy(update={"scale": 3})))

    with pytest.raises(UpscaleFailed, match=r"made \(3, 10, 8\) of \(3, 5, 4\)"):
        session.run(random(count, 3, 5, 4))


def test_a_closed_session_runs_no_more(make: Make) -> None:
    session = opened(make())

    session.close()
    session.close()

    with pytest.raises(Closed, match="twice-x2: the session was closed"):
        session.run(random(1, 3, 4, 4))
    assert not session._nets


def test_closing_waits_for_the_run_that_has_begun(make: Make) -> None:
    session = opened(make())
    with session._running:
        closing = threading.Thread(target=session.close)
        closing.start()
        closing.join(0.1)
        assert closing.is_alive()
        assert not session.close_within(0.01)
        assert session._nets
    closing.join(10)

    assert not session._nets


def test_a_closed_session_leaves_no_threads(make: Make) -> None:
    others = set(threading.enumerate())
    session = opened(make(), threads=2)
    session.run(random(1, 3, 200, 40))
    own = set(threading.enumerate()) - others
    assert own  # how many depends on which band is done before the next is handed out

    session.close()

    assert not own & set(threading.enumerate())
