"""`srgan train`: trains a model as a training file says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srgan.cli import options
from srgan.cli.carrying import conclude
from srgan.cli.interrupts import stopping
from srgan.cli.output import Progress, emit, emit_json, say, table
from srgan.errors import InvalidConfig, MissingDependency

if TYPE_CHECKING:
    from srgan.training import TrainConfig, TrainJob

EXAMPLES = """\b
Examples:
  srgan config init mine.toml --kind train
  srgan train --config mine.toml
  srgan train --config mine.toml --set steps=500 --set data.batch=8 --fresh
  srgan train --config mine.toml --resume runs/mine/001 --set steps=4000
  srgan train --config mine.toml --preview-degradation samples.png
  srgan train --recipe latent --dataset-path pictures --epochs 50 --batch-size 24 --lr 1e-3
"""

EXPORT_EXAMPLES = """\b
Examples:
  srgan train-export runs/mine -o mine-so-far
  srgan train-export runs/mine/001 -o mine.zip --best
  srgan train-export runs/mine/001 -o mine-at-2000 --step 2000
"""

TrainFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Training file (TOML, YAML or JSON).", show_default=False),
]
TrainSets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any key of the training file, such as optimiser.learning_rate=5e-4; repeatable.",
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", help="Training recipe, such as latent.", show_default=False),
]
DatasetPath = Annotated[
    Path | None,
    typer.Option(
        "--dataset-path",
        metavar="FOLDER",
        help="Folder of training pictures, sub-folders included (data.folders).",
        show_default=False,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        metavar="N",
        min=1,
        help="Sets steps so that N patches of each picture are seen; with the recipe latent, by the autoencoder, and "
        "its other phases in proportion.",
        show_default=False,
    ),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="N", help="Batch size (data.batch).", show_default=False)
]
Lr = Annotated[
    float | None,
    typer.Option("--lr", metavar="RATE", help="Learning rate (optimiser.learning_rate).", show_default=False),
]
LambdaAdv = Annotated[
    float | None,
    typer.Option("--lambda-adv", metavar="W", help="Weight of the GAN loss (loss.adversarial).", show_default=False),
]
LambdaL1 = Annotated[
    float | None,
    typer.Option("--lambda-l1", metavar="W", help="Weight of the pixel loss (loss.pixel_weight).", show_default=False),
]
SHORT = {
    "recipe": "--recipe",
    "data.folders": "--dataset-path",
    "data.batch": "--batch-size",
    "optimiser.learning_rate": "--lr",
    "loss.adversarial": "--lambda-adv",
    "loss.pixel_weight": "--lambda-l1",
}
"""Keys of the training file that have an option of their own, which GAN programs commonly call so."""
Start = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="PATH",
        help="Continue from this run folder or checkpoint file; settings such as steps may differ. Default: an "
        "unfinished run with the same settings, if any.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start a new run even if there is an unfinished one.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Also write the finished model here: a new folder, or a file ending in .zip.",
    ),
]
Preview = Annotated[
    Path | None,
    typer.Option(
        "--preview-degradation",
        metavar="FILE",
        help="Do not train; write a picture with examples of degraded training patches, labelled with their "
        "degradations.",
    ),
]


def train(
    config: TrainFile = None,
    sets: TrainSets = None,
    recipe: RecipeName = None,
    dataset_path: DatasetPath = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    lambda_adv: LambdaAdv = None,
    lambda_l1: LambdaL1 = None,
    start: Start = None,
    fresh: Fresh = False,
    output: Output = None,
    preview: Preview = None,
    as_json: options.Json = False,
    print_job: options.PrintJob = False,
    print_command: options.PrintCommand = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Train a network and write it as a model bundle.

    FILE may also be one of srgan-rust or Multi-Generator SRGAN: what becomes of each of its keys is printed.
    Ctrl-C saves a checkpoint; the same command continues from there. Needs the `train` extra:
    pip install 'srgan[train]'.
    """
    from srgan.config import TRAINING_ENVIRONMENT_PREFIX, load_config
    from srgan.training.config import TrainConfig

    given = (recipe, [dataset_path] if dataset_path else None, batch_size, lr, lambda_adv, lambda_l1)
    settings = load_config(
        TrainConfig,
        config,
        environment=os.environ,
        prefix=TRAINING_ENVIRONMENT_PREFIX,
        sets=sets or (),
        values=_of_another_program(config) if config is not None else None,
        flags=dict(zip(SHORT, given, strict=True)),
        names=SHORT,
    )
    if epochs is not None:
        settings = _for_epochs(settings, epochs)
    if preview is not None:
        from srgan.training import preview_degradation

        preview_degradation(settings, preview)
        if as_json:
            emit_json({"path": str(preview)})
        else:
            emit(str(preview))
        return
    from srgan.training import TrainJob

    if start is not None and fresh:
        raise InvalidConfig("--resume and --fresh contradict each other; give one of them")
    job = TrainJob(config=settings, resume=not fresh, start=start, output=output)
    conclude(job, as_json=as_json, print_job=print_job, print_command=print_command)


def _of_another_program(path: Path) -> dict[str, Any] | None:
    """The values of a file of another program, having told what becomes of them; None for one of srgan's own."""
    from srgan.conversion.origins import HEADINGS, import_origin

    made = import_origin(path)
    if made is None:
        return None
    say(f"{path}: a training file of {made.program}, read as:")
    for line in table(HEADINGS, [row.cells() for row in made.rows]).splitlines():
        say(line)
    return made.values


def _for_epochs(settings: TrainConfig, epochs: int) -> TrainConfig:
    """``settings`` with the steps that ``epochs`` take. Raises `InvalidDataset` when there are no pictures."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise MissingDependency("torch", "train")
    from srgan.training.pictures import find_pictures

    pictures = len(find_pictures(settings.data.folders)[: settings.data.max_pictures])
    return settings.for_epochs(epochs, pictures)


def carry_out(job: TrainJob, *, as_json: bool) -> None:
    """Train with a progress bar and print the path of the model; signals end it with a checkpoint."""
    from srgan.training import train as run
    from srgan.training.launch import follows

    with stopping("stopping after this step, with a checkpoint") as stop, Progress("training", delay=0.0) as progress:
        bundle = run(job, report=progress, stop=stop)
    if follows():
        return
    if as_json:
        emit_json({**bundle.info.model_dump(mode="json"), "path": str(bundle.path)})
        return
    emit(str(bundle.path))
    command = "upscale IN OUT" if bundle.info.latent is None else "generate OUT"
    say(f"Use it with: srgan {command} --model {bundle.path}")


def export(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Folder of a run, or of several of which the last is meant."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="The model: a new folder, or a file that ends in .zip."),
    ],
    step: Annotated[
        int | None, typer.Option("--step", metavar="N", help="The checkpoint of this step. Default: the last.")
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="The checkpoint of the best validation.")] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Make a model of a checkpoint, whether its training has finished or not.

    It holds the averaged weights. The run is only read, and may go on meanwhile. Needs the `train` extra:
    pip install 'srgan[train]'.
    """
    from srgan.errors import InvalidConfig
    from srgan.training import export_checkpoint

    if best and step is not None:
        raise InvalidConfig("--best and --step contradict each other; give one of them")
    bundle = export_checkpoint(run, output, step=step, best=best)
    if as_json:
        emit_json({**bundle.info.model_dump(mode="json"), "path": str(bundle.path)})
        return
    emit(str(bundle.path))
    say(f"Use it with: srgan upscale IN OUT --model {bundle.path}")
