"""`srgan evaluate`: score models against reference pictures."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan.atomic import write_whole
from srgan.cli import options
from srgan.cli.failures import SOME_FAILED, complain
from srgan.cli.output import Progress, emit, say, table
from srgan.errors import CannotWrite, InvalidConfig

if TYPE_CHECKING:
    from srgan.evaluation import Comparison, EvaluationReport, Inputs, Mean, Results, Trial
    from srgan.settings import Settings
    from srgan.upscaler import Upscaler

EXAMPLES = """\b
Examples:
  srgan evaluate fast Set5
  srgan evaluate bicubic Set5 --scale 3
  srgan evaluate fast BSD100 --metrics lpips-unweighted,stlpips-alex,consistency
  srgan evaluate runs/mine/001/bundle Set14 --csv set14.csv --save-dir enlarged --record
  srgan evaluate fast turbo Set14 --html compare.html --metrics niqe-photos --worst-by niqe-photos
  srgan evaluate fast --results other=enlarged/by-another Set14 --degrade mixed --html compare.html
"""

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Names or families of models, paths of bundles, or a plain resampler: bicubic.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path, typer.Argument(metavar="HR_DIR", help="Folder of high-resolution pictures.", show_default=False)
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write a line for each picture as CSV.")]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Also write a page with the pictures of all models, the worst ten on top."
    ),
]
WorstBy = Annotated[
    str, typer.Option("--worst-by", metavar="NAME", help="The figure, of the first model, that orders the page.")
]
SaveDir = Annotated[
    Path | None,
    typer.Option(
        "--save-dir", metavar="DIR", help="Keep the enlarged pictures here, those of several models in a folder each."
    ),
]
First = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="NUMBER", min=1, help="Score only the first so many pictures, by name: a quick look."
    ),
]
Metrics = Annotated[
    str,
    typer.Option(
        "--metrics",
        metavar="NAMES",
        help="Figures, separated by commas: psnr, ssim, consistency, colour-shift, grid, niqe-photos, "
        "lpips-unweighted, dists-squeeze, stlpips-alex, fd-squeeze, kid-squeeze. Those that look at features of a "
        "network need srgan[train].",
    ),
]
Degrade = Annotated[
    str | None,
    typer.Option("--degrade", metavar="NAME", help="Spoil the small pictures: blur, noise, jpeg, or mixed for all."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="NUMBER", help="Of --degrade: how strongly each.")]
LowDir = Annotated[
    Path | None,
    typer.Option(
        "--low-dir", metavar="DIR", help="Enlarge these small pictures, NAME or NAMEx4, instead of making them."
    ),
]
SaveInputs = Annotated[
    Path | None,
    typer.Option("--save-inputs", metavar="DIR", help="Keep the small pictures here, for another program to enlarge."),
]
Finished = Annotated[
    list[str] | None,
    typer.Option(
        "--results",
        metavar="[LABEL=]DIR",
        help="Also score pictures that another program has enlarged: NAME, NAMEx4 or NAME_x4. Can be given again.",
    ),
]
Record = Annotated[
    bool,
    typer.Option("--record", help="Write the means into the bundle's model.toml, where `srgan models` shows them."),
]


def evaluate(
    ctx: typer.Context,
    *,  # the order is that of the command line, where what may be left out comes first
    models: Models = None,
    folder: Folder,
    scale: options.Scale = None,
    limit: First = None,
    metrics: Metrics = "psnr,ssim",
    results: Finished = None,
    degrade: Degrade = None,
    seed: Seed = 0,
    low_dir: LowDir = None,
    csv: Csv = None,
    html: Html = None,
    worst_by: WorstBy = "psnr",
    save_dir: SaveDir = None,
    save_inputs: SaveInputs = None,
    record: Record = False,
    device: options.Device = None,
    backend: options.Backend = None,
    precision: options.Precision = None,
    threads: options.Threads = None,
    tile: options.Tile = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Score models against reference pictures: PSNR and SSIM, beside plain bicubic enlargement.

    Each picture is made small by MATLAB's bicubic, enlarged by the model and compared with itself: Y channel, 8 bit,
    as many pixels of border left out as the scale. The figures of --metrics see the whole picture. Brackets hold the
    95 % interval of a mean over the pictures. Several models are compared on the pictures that all could be scored on.
    """
    settings = options.read_settings(ctx)
    from srgan.evaluation import Comparison, Trial, check_order

    if record:
        _check_recordable(models or [], settings, limit, bool(results or degrade or low_dir))
    _check_files(csv, html)
    inputs, limits = _inputs(degrade, seed, low_dir), options.limits_of(settings)
    trial = Trial(folder, inputs=inputs, limits=limits, first=limit, metrics=metrics.split(","))
    check_order(worst_by, trial.metrics)
    contenders = _contenders(models or [], results or [], settings)
    with tempfile.TemporaryDirectory(prefix="srgan-") as temporary:
        folders = _folders(trial, contenders, save_dir or (Path(temporary) if html else None), save_inputs)
        if save_inputs is not None:
            trial.write_inputs(save_inputs, contenders[0].scale)
        comparison = Comparison(_reports(trial, contenders, folders))
        _tell(comparison, as_json)  # before the files: should one fail, the figures are there
        if csv is not None:
            write_whole(csv, comparison.first.to_csv() if len(contenders) == 1 else comparison.to_csv())
        if html is not None:
            _write_page(html, comparison, trial, folders, worst_by)
    if record and models:
        _record(models[0], settings.upscale.scale, comparison.first)
    if any(report.failures for report in comparison.full.values()):
        raise typer.Exit(SOME_FAILED)


@dataclass(frozen=True, kw_only=True)
class _Contender:
    """What is scored under a label of its own."""

    label: str
    made_by: Upscaler | Results
    loss_features: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        return self.made_by.scale


def _check_files(csv: Path | None, html: Path | None) -> None:
    """Raise `CannotWrite` for one that cannot be written: told before the work, not after it.

    An earlier table or page may be replaced. The suffix keeps a picture from being taken for one.
    """
    from srgan.atomic import check_target

    for file, option, suffixes in ((csv, "--csv", (".csv",)), (html, "--html", (".html", ".htm"))):
        if file is None:
            continue
        if file.suffix.lower() not in suffixes:
            raise CannotWrite(f"{file}: {option} takes a file that ends in {suffixes[0]}")
        check_target(file, overwrite=True)


def _inputs(degrade: str | None, seed: int, low_dir: Path | None) -> Inputs | None:
    from srgan.evaluation import Degraded, LowFolder

    if degrade is not None and low_dir is not None:
        raise InvalidConfig("--degrade and --low-dir contradict each other; give one of them")
    if degrade is not None:
        return Degraded(degrade, seed)
    return None if low_dir is None else LowFolder(low_dir)


def _contenders(models: list[str], results: list[str], settings: Settings) -> list[_Contender]:
    """All opened, so that what cannot be scored is told before the work. Raises `InvalidConfig`."""
    from srgan.evaluation import BICUBIC, ORIGINAL, Results, whole_scale

    wanted = settings.upscale.scale
    upscalers = [options.open_upscaler(settings, wanted, model) for model in models]
    names = [upscaler.info.model for upscaler in upscalers]
    contenders = [
        _Contender(
            label=name if names.count(name) == 1 and name not in (BICUBIC, ORIGINAL) else model,
            made_by=upscaler,
            loss_features=_loss_features(model, wanted),
        )
        for model, name, upscaler in zip(models, names, upscalers, strict=True)
    ]
    scale = wanted or (contenders[0].scale if contenders else 4)
    for text in results:
        label, equals, folder = text.partition("=")
        finished = Results(folder if equals else text, scale=scale, label=label if equals else None)
        contenders.append(_Contender(label=finished.label, made_by=finished))
    if not contenders:
        raise InvalidConfig("nothing to score: name a model, or give the folder of finished pictures with --results")
    labels = [_file_name(one.label) for one in contenders]
    if doubled := sorted({label for label in labels if labels.count(label) > 1}):
        raise InvalidConfig(f"two of those to score are called {doubled[0]}; --results LABEL=DIR gives another name")
    for one in contenders:
        elsewhere = isinstance(one.made_by, Results)
        if one.label == ORIGINAL or (one.label == BICUBIC and elsewhere):
            way = "--results LABEL=DIR gives another name" if elsewhere else "name the model by its path"
            raise InvalidConfig(f"{one.label}: comparisons have a line of this name already; {way}")
    if len(scales := {one.scale for one in contenders}) > 1:
        said = ", ".join(f"{one.label} x{one.scale:g}" for one in contenders)
        raise InvalidConfig(f"models are compared at one scale, not {said}; give --scale {min(scales):g}")
    whole_scale(contenders[0].scale)
    return contenders


def _loss_features(model: str, scale: float | None) -> tuple[str, ...]:
    """The feature networks that a loss of the model's training looked through."""
    from srgan.models import find_model
    from srgan.runtime import RESIZE_MODELS

    return () if model in RESIZE_MODELS else find_model(model, scale).info.provenance.loss_features


def _folders(
    trial: Trial, contenders: list[_Contender], kept: Path | None, save_inputs: Path | None
) -> dict[str, Path]:
    """Where in ``kept`` the pictures of each are kept, by its label; made, and ``save_inputs`` with them."""
    from srgan.evaluation import Results

    alone = len(contenders) == 1
    folders = {one.label: kept if alone else kept / _file_name(one.label) for one in contenders} if kept else {}
    finished = [one.made_by.folder for one in contenders if isinstance(one.made_by, Results)]
    trial.make_folders([*folders.values(), *filter(None, [save_inputs])], finished)
    return folders


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.-]+", "_", label).strip(".") or "_"


def _reports(trial: Trial, contenders: list[_Contender], folders: Mapping[str, Path]) -> dict[str, EvaluationReport]:
    """The report of each, by its label."""
    reports: dict[str, EvaluationReport] = {}
    with Progress("scoring") as progress:

        def tell(done: int, pictures: int) -> None:
            note = one.label if len(contenders) > 1 else ""
            progress(len(reports) * pictures + done, len(contenders) * pictures, note)

        for one in contenders:
            reports[one.label] = trial.score(
                one.made_by, progress=tell, save=folders.get(one.label), trained_with=one.loss_features
            )
    return reports


def _write_page(path: Path, comparison: Comparison, trial: Trial, folders: Mapping[str, Path], worst_by: str) -> None:
    from srgan.evaluation import comparison_page

    write_whole(path, comparison_page(comparison, trial, folders, worst_by=worst_by))
    say(f"{path}: written")


def _tell(comparison: Comparison, as_json: bool) -> None:
    """Show the figures, then what is to be said of them. One model is told of in full."""
    alone = len(comparison.full) == 1
    if as_json:
        emit((comparison.first if alone else comparison).to_json().rstrip("\n"))
    else:
        emit(_text(comparison.first) if alone else _side_by_side(comparison))
    for warning in comparison.warnings:
        say(f"warning: {warning}")
    for label, report in comparison.full.items():
        whose = "" if alone else f"{label}: "
        for failure in report.failures:
            named = failure.name in failure.reason
            complain(f"{whose}{failure.reason}" if named else f"{whose}{failure.name}: {failure.reason}")


def _record(model: str, scale: float | None, report: EvaluationReport) -> None:
    from srgan.evaluation import record_quality
    from srgan.models import find_model

    bundle = record_quality(find_model(model, scale).path, report)
    say(f"{bundle.path}: recorded {report.quality.psnr:.2f} dB on {report.dataset}")


def _check_recordable(models: list[str], settings: Settings, limit: int | None, other: bool) -> None:
    """Raise `InvalidConfig` where the means would not be the model's own on all pictures, under the protocol."""
    from srgan.runtime import RESIZE_MODELS

    if len(models) != 1 or other:
        raise InvalidConfig("--record: only one model, on the inputs of the protocol, has figures for its model.toml")
    if limit is not None:
        raise InvalidConfig("--record: the means of a part of the pictures are not recorded; leave out --limit")
    if models[0] in RESIZE_MODELS:
        raise InvalidConfig(f"--record: {models[0]} is plain resampling and has no model.toml")
    changing = [name for name in ("tta", "fix_colour", "strategy", "trust") if getattr(settings.upscale, name)]
    if changing:
        names = " and ".join(f"upscale.{name}" for name in changing)
        raise InvalidConfig(f"--record: {names} would give other figures than the model's own")


def _text(report: EvaluationReport) -> str:
    """A table of the pictures, the means below it, and with which features they were computed."""
    names = list(report.more)
    rows = [
        (
            *(s.name, s.psnr, s.ssim, s.baseline_psnr, s.baseline_ssim, *(s.more[n] for n in names)),
            None if s.seconds is None else round(s.seconds, 3),
        )
        for s in report.scores
    ]
    pictures = f"{len(rows)} picture{'' if len(rows) == 1 else 's'}"
    ran = f"{report.backend}/{report.device}, {report.precision}" if report.device else "finished results"
    means = [
        ("", "PSNR dB", "SSIM"),
        (f"{report.model} x{report.scale}", _mean(report.psnr, 2), _mean(report.ssim, 4)),
        ("bicubic", _mean(report.baseline_psnr, 2), _mean(report.baseline_ssim, 4)),
        ("gain", _mean(report.gain, 2), ""),
    ]
    head = ("PICTURE", "PSNR", "SSIM", "BICUBIC", "SSIM", *(name.upper() for name in names), "SECONDS")
    lines = [table(head, rows), "", f"Means over {pictures} of {report.dataset}, on {ran}:", table(means[0], means[1:])]
    if further := _further(report):
        original = ("ORIGINAL",) if report.reference_more else ()
        lines += ["", table(("", f"{report.model} x{report.scale}", "bicubic", *original, "BETTER"), further)]
    return "\n".join([*lines, *_notes({report.model: report})])


def _notes(reports: Mapping[str, EvaluationReport]) -> list[str]:
    """With which features figures were computed, whose loss these were, and what was enlarged where it is not what
    everyone enlarges. It is part of the result: --quiet does not silence it."""
    from srgan.evaluation import PROTOCOL

    first = next(iter(reports.values()))
    notes = []
    for name, features in first.features.items():
        flattered = [label for label, report in reports.items() if name in report.flattering]
        loss = f", a loss in the training of {', '.join(flattered)}: it flatters" if flattered else ""
        notes.append(f"{name} is computed with {features}{loss}")
    return notes if first.protocol == PROTOCOL else [*notes, f"protocol: {first.protocol}"]


def _further(report: EvaluationReport) -> list[tuple[str, ...]]:
    """A line for each figure beyond PSNR and SSIM: of the model, of bicubic, of the originals where a figure needs no
    reference, and which way is better."""
    from srgan.metrics.judges import FIGURES

    lines: list[tuple[str, ...]] = []
    for name, (ours, bicubic) in report.more.items():
        digits = FIGURES[name].digits
        lines.append((name, _mean(ours, digits), _mean(bicubic, digits)))
    for name, figure in report.sets.items():
        digits = FIGURES[name].digits
        lines.append((name, f"{figure.value:.{digits}f}", f"{figure.baseline:.{digits}f}"))
    if report.reference_more:
        of_originals = {name: _mean(mean, FIGURES[name].digits) for name, mean in report.reference_more.items()}
        lines = [(*line, of_originals.get(line[0], "")) for line in lines]
    return [(*line, FIGURES[line[0]].better) for line in lines]


def _side_by_side(comparison: Comparison) -> str:
    """The means of all models in one table, without their intervals, which would make it too wide."""
    from srgan.metrics.judges import FIGURES

    figures = comparison.figures
    rows = []
    for line in comparison.lines:
        cells = []
        for name in figures:
            mean = line.means.get(name)
            value = mean if mean is None or isinstance(mean, float) else mean.value
            cells.append("-" if value is None else f"{value:.{FIGURES[name].digits}f}")
        rows.append((line.label, *cells, "-" if line.seconds is None else f"{line.seconds:.3f}"))
    better = ("BETTER", *(FIGURES[name].better for name in figures), "less")
    first = comparison.first
    return "\n".join(
        [
            f"Means over {len(comparison.pictures)} pictures of {first.dataset}, x{first.scale}; "
            "--json and --html have their intervals:",
            table(("", *(name.upper() for name in figures), "SECONDS"), [*rows, better]),
            *_notes(comparison.reports),
        ]
    )


def _mean(mean: Mean, digits: int) -> str:
    return f"{mean.value:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
