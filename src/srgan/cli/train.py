"""`srgan train`: a training file in, a model bundle out."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan.cli import options
from srgan.cli.output import Progress, emit, emit_json, say
from srgan.errors import CannotWrite
from srgan.progress import Step

if TYPE_CHECKING:
    from srgan.training.progress import TrainStatus

EXAMPLES = """\b
Examples:
  srgan config init mine.toml --kind train
  srgan train --config mine.toml
  srgan train --config mine.toml --set steps=500 --set data.batch=8 --fresh
  srgan train --config mine.toml --preview-degradation samples.png
"""

TrainFile = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="Training file in TOML, YAML or JSON.", show_default=False),
]
TrainSets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any key of the training file, such as optimiser.learning_rate=5e-4."
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--fresh", help="Go on with an unfinished run of the same configuration, or begin a new one."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Also put the finished model here: a new folder, or a file that ends in .zip.",
    ),
]
Preview = Annotated[
    Path | None,
    typer.Option(
        "--preview-degradation",
        metavar="FILE",
        help="Do not train: write a picture that shows some patches as the network would see them, and what was done "
        "to each.",
    ),
]


def train(
    config: TrainFile,
    sets: TrainSets = None,
    resume: Resume = True,
    output: Output = None,
    preview: Preview = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Train a network and write it as a model bundle.

    Ctrl-C saves a checkpoint; the same command goes on from there. Needs the `train` extra:
    pip install 'srgan[train]'.
    """
    from srgan.config import TRAINING_ENVIRONMENT_PREFIX, load_config
    from srgan.training.config import TrainConfig

    settings = load_config(
        TrainConfig, config, environment=os.environ, prefix=TRAINING_ENVIRONMENT_PREFIX, sets=sets or ()
    )
    if preview is not None:
        from srgan.training import preview_degradation

        preview_degradation(settings, preview)
        if as_json:
            emit_json({"path": str(preview)})
        else:
            emit(str(preview))
        return
    if output is not None and output.exists():
        raise CannotWrite(f"{output}: exists already; choose another place for the model")
    from srgan.training import train as run

    with Progress("training", delay=0.0) as progress:

        def show(status: TrainStatus) -> None:
            loss = "" if math.isnan(status.loss) else f"loss {status.loss:.3g}, "
            quality = "" if status.psnr is None else f"PSNR {status.psnr:.2f} dB, "
            note = f"{loss}{quality}{status.steps_per_second:.1f} steps/s"
            progress(Step(status.step, status.steps, "steps", note))

        bundle = run(settings, resume=resume, progress=show)
    if output is not None:
        from srgan.models import write_bundle

        bundle = write_bundle(output, bundle.info, {name: bundle.read(name) for name in bundle.info.files})
    if as_json:
        emit_json({**bundle.info.model_dump(mode="json"), "path": str(bundle.path)})
        return
    emit(str(bundle.path))
    say(f"srgan models show {bundle.path}  shows it; srgan upscale IN OUT --model {bundle.path}  uses it")
