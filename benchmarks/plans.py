"""Networks of about the same time, side by side at x4: what each takes in every engine, and what it learns.

    python benchmarks/plans.py                                         times: some minutes
    python benchmarks/plans.py --learn PHOTOS --sets Set5 BSD100       trained as well: an hour or more
    python benchmarks/plans.py --only fast "residual 32x7" --learn PHOTOS --sets Set5 --seeds 1 2

Times are of 128 x 128 pixels to 512 x 512 on one thread, with random weights: ncnn and ONNX Runtime in fp32, and ONNX
Runtime in int8 (convolutions and clips, per channel, by its own quantiser). The plans take turns, round by round. What
is compared is the least processor time of each against that of the same engine for `fast`: other work adds to all
others.

Each training is a short one by the recipe of `fast`. A run that is finished in the folder --runs is not trained again,
and one that was interrupted goes on. Quality is that of ncnn in fp32, and beside it what int8 loses.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from plan_networks import PLANS, announce
from reporting import options, print_header, say, undisturbed, write_json

from srgan.benchmark import as_batch, milliseconds, sample_picture, summarise, table, timed
from srgan.imaging import write_picture
from srgan.models import Bundle, write_bundle
from srgan.models.bundle import ONNX
from srgan.runtime import open_session

SCALE, SIDE = 4, 128
PEER = "fast"
ENGINES = {"ncnn": "ncnn", "onnxruntime": "onnx", "int8": "onnx"}
"""By name in the table: the backend."""
CALIBRATION = 8
"""Pictures by which the ranges of int8 are found."""


def main() -> None:
    """Measure, train and print."""
    given = _parse()
    announce()
    with tempfile.TemporaryDirectory(prefix="srgan-plans-") as name:
        if given.quick:
            given.learn, given.runs = _made_up(Path(name) / "pictures"), Path(name) / "runs"
            given.sets = [given.learn]
        _compare(given, Path(name))


def _compare(given: argparse.Namespace, folder: Path) -> None:
    header = print_header(
        f"{SIDE} x {SIDE} to {SIDE * SCALE} x {SIDE * SCALE}, one thread, random weights; {given.rounds} rounds in "
        "turn after two warm-ups; milliseconds: median (10th-90th percentile); times fast: by the least processor time"
    )
    rows: dict[str, dict[str, Any]] = {name: {"plan": name, "learnt": []} for name in given.only}
    for seed in given.seeds if given.learn else ():
        for plan, row in rows.items():
            row["learnt"].append(_learnt(plan, seed, given))
    with undisturbed():
        for plan, times in _timed(given.only, folder / "random", given.rounds):
            rows[plan] |= times
    sets = [folder.name for folder in given.sets] if given.learn else []
    headings = ("plan", "parameters", "MAC/px", "radius", *ENGINES, *(f"{engine} / {PEER}" for engine in ENGINES))
    print(table((*headings, *sets, *(f"{name}, int8" for name in sets)), (_cells(row, sets) for row in rows.values())))
    write_json(given.json, header | {"rows": list(rows.values())})


def _parse() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", metavar="PLAN", choices=PLANS, default=list(PLANS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--learn", type=Path, metavar="FOLDER", help="train, on the photographs of this folder")
    parser.add_argument("--sets", type=Path, nargs="+", metavar="FOLDER", default=[], help="pictures to judge by")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument("--steps", type=int, default=2000, metavar="N")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", default=Path("runs"), help="where trainings are kept")
    given = parser.parse_args()
    if given.quick:
        given.only, given.rounds, given.steps = [PEER, "plain 32x4"], 2, 2
    if PEER not in given.only:
        given.only.insert(0, PEER)
    return given


def _made_up(folder: Path) -> Path:
    """Three pictures."""
    folder.mkdir()
    for seed in range(3):
        write_picture(sample_picture(240, 240, seed=seed), folder / f"{seed}.png")
    return folder


# --------------------------------------------------------------------------------------------------------- time


def _timed(plans: Sequence[str], folder: Path, rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What every plan costs, all measured in turn."""
    batch = as_batch(sample_picture(SIDE, SIDE), 3)
    bundles = {plan: _random(plan, folder / str(number)) for number, plan in enumerate(plans)}
    sessions = {}
    for number, (plan, bundle) in enumerate(bundles.items()):
        small = _in_int8(bundle, folder / f"{number}-int8", _samples(CALIBRATION))
        for engine, backend in ENGINES.items():
            opened = open_session(small if engine == "int8" else bundle, backend=backend, device="cpu", threads=1)
            sessions[plan, engine] = opened
    samples: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in sessions}
    for done in range(rounds + 2):
        for key, session in sessions.items():
            found = timed(lambda session=session: session.run(batch))  # type: ignore[misc]
            if done >= 2:
                samples[key].append(found)
    least = {key: min(cpu for _, cpu in found) for key, found in samples.items()}
    for plan, bundle in bundles.items():
        info = bundle.info
        row: dict[str, Any] = {
            "parameters": info.parameters, "macs_per_pixel": info.macs_per_pixel, "radius": info.radius,
            "multiple": info.multiple,
        }  # fmt: skip
        for engine in ENGINES:
            timing = asdict(summarise(samples[plan, engine])) | {"least_cpu": least[plan, engine]}
            row[engine] = timing | {"over_fast": least[plan, engine] / least[PEER, engine]}
        yield plan, row


def _random(plan: str, target: Path) -> Bundle:
    """The plan with random weights."""
    import torch

    from srgan.networks import build
    from srgan.training.finishing import write_model

    say(f"{plan}: random weights")
    network, chosen = PLANS[plan]
    torch.manual_seed(0)
    deployed = build(network, SCALE, **chosen).deploy()
    chosen = {name: value for name, value in chosen.items() if name != "expanded"}
    return write_model(target, deployed, name=target.name, network=network, network_options=chosen)


def _samples(count: int) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    return [as_batch(sample_picture(SIDE, SIDE, seed=seed), 3) for seed in range(count)]


def _in_int8(bundle: Bundle, target: Path, pictures: Iterable[Any]) -> Bundle:
    """The same model with nothing but an ONNX form whose convolutions compute in 8 bits."""
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    logging.getLogger().setLevel(logging.ERROR)  # it advises a preparation that the plain graph below has had
    with tempfile.TemporaryDirectory(prefix="srgan-int8-") as name:
        plain, small = f"{name}/plain.onnx", f"{name}/small.onnx"
        how = onnxruntime.SessionOptions()
        # Weights in 32 bits again, constants folded: what the quantiser knows how to read.
        how.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        how.optimized_model_filepath = plain
        onnxruntime.InferenceSession(bundle.read(ONNX), how, providers=["CPUExecutionProvider"])
        quantize_static(
            plain, small, _Feed(pictures), quant_format=QuantFormat.QDQ, per_channel=True,
            op_types_to_quantize=["Conv", "Clip"], activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return write_bundle(target, bundle.info, {ONNX: Path(small).read_bytes()})


class _Feed:
    """What the quantiser asks for pictures."""

    def __init__(self, pictures: Iterable[Any]) -> None:
        self._feed = iter(pictures)

    def get_next(self) -> dict[str, Any] | None:
        picture = next(self._feed, None)
        return None if picture is None else {"input": picture}


# ------------------------------------------------------------------------------------------------------ quality


def _learnt(plan: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Train one plan by one seed, or find that it has been; its figures on all sets."""
    title = f"{plan}-{given.steps}-{seed}".replace(",", "").replace(" ", "-")
    record = given.runs / f"{title}.json"
    row: dict[str, Any] = json.loads(record.read_text("utf-8")) if record.exists() else {}
    if row.get("sets") == [folder.name for folder in given.sets]:
        return row
    bundle = _trained(plan, seed, title, given)
    small = _in_int8(bundle, given.runs / f"{title}-int8", _from_training(given.learn))
    row = {"seed": seed, "steps": given.steps, "sets": [folder.name for folder in given.sets], "psnr": {}, "int8": {}}
    for kind, model, backend in (("psnr", bundle, "ncnn"), ("int8", small, "onnx")):
        for folder in given.sets:
            row[kind][folder.name] = _judged(model, backend, folder)
    say(f"{plan}, seed {seed}: {row['psnr']}, int8 {row['int8']}")
    record.write_text(json.dumps(row, indent=2) + "\n", "utf-8")
    return row


def _trained(plan: str, seed: int, title: str, given: argparse.Namespace) -> Bundle:
    from srgan.training import TrainJob, train
    from srgan.training.config import TrainConfig

    if finished := sorted((given.runs / title).glob("*/bundle")):
        return Bundle.open(finished[-1])
    say(f"{plan}, seed {seed}: {given.steps} steps")
    network, chosen = PLANS[plan]
    output = {"name": title, "runs": given.runs, "checkpoint_every": 1000, "keep": 1, "tensorboard": False}
    config = {
        "steps": given.steps,
        "seed": seed,
        "network": {"name": network, "scale": SCALE, "options": chosen},
        "data": {"folders": [given.learn], "patch": 32, "batch": 16, "min_detail": 8.0},
        "loss": {"pixel": "l1", "mse_after": 0.9},
        "optimiser": {"kind": "muon", "learning_rate": 1e-3, "muon_learning_rate": 7e-3},
        "hardware": {"device": "cpu", "threads": 1, "precision": "auto"},
        "output": output | {"unfit": "keep"},
    }
    return train(TrainJob(config=TrainConfig.model_validate(config)))


def _judged(model: Bundle, backend: str, folder: Path) -> float:
    """The mean PSNR in dB."""
    from srgan.evaluation import evaluate

    session = open_session(model, backend=backend, device="cpu", threads=1)
    try:
        return evaluate(session, folder).psnr.value
    finally:
        session.close()


def _from_training(folder: Path) -> Iterator[Any]:
    """Middles of training pictures, made small, as inputs to calibrate by."""
    from srgan.evaluation.inputs import pictures_in
    from srgan.imaging import Picture, read_picture, resize

    for path in pictures_in(folder)[::10][:CALIBRATION]:
        colour = read_picture(path).colour
        small = resize(colour, colour.shape[0] // SCALE, colour.shape[1] // SCALE)
        top, left = (max(0, side - SIDE) // 2 for side in small.shape[:2])
        yield as_batch(Picture(pixels=small[top : top + SIDE, left : left + SIDE].clip(0, 1)), 3)


def _cells(row: dict[str, Any], sets: list[str]) -> list[str]:
    cells = [row["plan"], f"{row['parameters'] / 1e3:.0f}k", f"{row['macs_per_pixel'] / 1e3:.0f}k", str(row["radius"])]
    cells += [
        f"{milliseconds(t['median'])} ({milliseconds(t['low'])}-{milliseconds(t['high'])})"
        for t in (row[engine] for engine in ENGINES)
    ]
    cells += [f"{row[engine]['over_fast']:.2f}" for engine in ENGINES]
    for kind in ("psnr", "int8"):
        cells += [" ".join(f"{run[kind][name]:.2f}" for run in row["learnt"]) for name in sets]
    return cells


if __name__ == "__main__":
    main()
