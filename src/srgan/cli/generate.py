"""`srgan generate`, `encode` and `reconstruct`: new pictures, and what a latent model sees in given ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan.cli import options
from srgan.cli.carrying import conclude
from srgan.cli.failures import STOPPED
from srgan.cli.output import Progress, emit, emit_json

if TYPE_CHECKING:
    from srgan.generation.coding import EncodeJob, ReconstructJob
    from srgan.generation.job import GenerateJob
    from srgan.settings import Outcome

EXAMPLES = """\b
Examples:
  srgan generate new --model my-latent --count 20 --seed 7
  srgan generate sheet.png --model my-latent --count 64 --grid
  srgan generate large.png --model my-latent --seed 7 --first 3 --size 512
  srgan generate morph.png --model my-latent --interpolate 3 9 --grid
"""
ENCODE_EXAMPLES = """\b
Examples:
  srgan encode face.png face.npz --model my-latent
  srgan encode faces codes.npz --model my-latent
  srgan encode a.png b.png codes.json --model my-latent
"""
RECONSTRUCT_EXAMPLES = """\b
Examples:
  srgan reconstruct face.png again.png --model my-latent
  srgan reconstruct photo.jpg again.jpg --model ./my-latent --json
"""

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Latent model: a name from `srgan models list`, or the path of a model bundle.",
        show_default=False,
    ),
]
Target = Annotated[
    Path,
    typer.Argument(
        metavar="OUT",
        help="Output folder, made if it is not there. With --grid, or for one picture, a picture file.",
        show_default=False,
    ),
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, metavar="NUMBER", help="Number of pictures.")]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="NUMBER", help="Seed of the noise.")]
First = Annotated[int, typer.Option("--first", min=0, metavar="NUMBER", help="Number of the first picture.")]
Grid = Annotated[bool, typer.Option("--grid", help="Write all pictures as one sheet.")]
Interpolate = Annotated[
    tuple[int, int] | None,
    typer.Option(
        "--interpolate", metavar="A B", help="Pictures on the way from number A to number B.", show_default=False
    ),
]
Steps = Annotated[
    int, typer.Option("--steps", min=2, metavar="NUMBER", help="Pictures on that way, both ends included.")
]
Truncation = Annotated[
    float,
    typer.Option(
        "--truncation",
        metavar="0-2",
        help="Factor for the noise: below 1 the pictures are more alike and more typical.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option("--size", metavar="PIXELS", help="Side of the pictures, such as 64 or 512. Default: the model's own."),
]
Refiner = Annotated[
    str | None,
    typer.Option(
        "--refiner", metavar="MODEL", help="Model that enlarges them to --size. Default: the one the model names."
    ),
]
Sources = Annotated[
    list[Path], typer.Argument(metavar="IN...", help="Input pictures, or folders of them.", show_default=False)
]
Codes = Annotated[Path, typer.Argument(metavar="OUT", help="Output file: .npz (NumPy) or .json.", show_default=False)]
Whole = Annotated[
    bool,
    typer.Option(
        "--whole",
        help="Keep the pictures' size, sides multiples of 16. Default: the centre square, at the model's size.",
    ),
]
Source = Annotated[Path, typer.Argument(metavar="IN", help="Input picture.", show_default=False)]
Picture = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="Output picture. The suffix selects the format.", show_default=False),
]


@options.taking(options.RUNTIME, options.JOB)
def generate(
    ctx: typer.Context,
    target: Target,
    model: Model,
    count: Count = 1,
    seed: Seed = 0,
    first: First = 0,
    grid: Grid = False,
    interpolate: Interpolate = None,
    steps: Steps = 8,
    truncation: Truncation = 1.0,
    size: Size = None,
    refiner: Refiner = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    print_job: options.PrintJob = False,
    print_command: options.PrintCommand = False,
) -> None:
    """Make new pictures from noise with a latent model.

    Seed and number decide what a picture is, whatever --count: `--seed 7 --first 3` is the fourth picture of
    `--seed 7 --count 10`. Files are named by both, and say in their metadata what they were made from.
    """
    from srgan.generation.job import GenerateJob

    job = options.read_job(ctx, GenerateJob)
    conclude(job, as_json=as_json, print_job=print_job, print_command=print_command)


@options.taking(options.RUNTIME, options.JOB)
def encode(
    ctx: typer.Context,
    sources: Sources,
    target: Codes,
    model: Model,
    whole: Whole = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    print_job: options.PrintJob = False,
    print_command: options.PrintCommand = False,
) -> None:
    """Write the codes of pictures: what a latent model sees in them."""
    from srgan.generation.coding import EncodeJob

    job = options.read_job(ctx, EncodeJob)
    conclude(job, as_json=as_json, print_job=print_job, print_command=print_command)


@options.taking(options.RUNTIME, options.JOB)
def reconstruct(
    ctx: typer.Context,
    source: Source,
    target: Picture,
    model: Model,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    print_job: options.PrintJob = False,
    print_command: options.PrintCommand = False,
) -> None:
    """Send a picture through a latent model's encoder and decoder: what its code keeps.

    Size, depth, profile, metadata and transparency are kept.
    """
    from srgan.generation.coding import ReconstructJob

    job = options.read_job(ctx, ReconstructJob)
    conclude(job, as_json=as_json, print_job=print_job, print_command=print_command)


def carry_out(job: GenerateJob, *, as_json: bool) -> None:
    """Make the pictures and tell of them."""
    from srgan.generation.job import run_generate

    with Progress("generating") as progress:
        outcome = run_generate(job, report=progress)
    told = outcome.report
    many = "1 picture" if told["pictures"] == 1 else f"{told['pictures']} pictures"
    where = told["files"][0]["path"] if job.to_file else str(job.target)
    by = told["model"] + (f" and {told['refiner']}" if "refiner" in told else "")
    _tell(outcome, f"{where}: {many} of {told['size']} px, {by}", as_json)


def carry_out_encode(job: EncodeJob, *, as_json: bool) -> None:
    """Write the codes and tell of them."""
    from srgan.generation.coding import run_encode

    with Progress("encoding") as progress:
        outcome = run_encode(job, report=progress)
    shape = " x ".join(map(str, outcome.report["shape"]))
    _tell(outcome, f"{job.target}: codes of {shape} numbers, {outcome.report['model']}", as_json)


def carry_out_reconstruct(job: ReconstructJob, *, as_json: bool) -> None:
    """Write the picture and tell of it."""
    from srgan.generation.coding import run_reconstruct

    with Progress("reconstructing") as progress:
        outcome = run_reconstruct(job, report=progress)
    told = outcome.report
    near = "equal to the input" if told["psnr"] is None else f"{told['psnr']:.2f} dB from the input"
    _tell(outcome, f"{job.target}: {told['width']}x{told['height']}, {near}, {told['model']}", as_json)


def _tell(outcome: Outcome, sentence: str, as_json: bool) -> None:
    told = outcome.report
    if as_json:
        emit_json(told)
    else:
        emit(f"{sentence} on {told['backend']}/{told['device']}, {told['seconds']:.2f} s")
    if outcome.state == "stopped":
        raise typer.Exit(STOPPED)
