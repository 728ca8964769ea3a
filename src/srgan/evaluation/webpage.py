"""The page of a comparison: means in a table, then every picture of every model, the worst first.

It is one file with its pictures inside, as the contact sheet of a batch is: it can be sent and kept, and looks the same
in ten years. That is why only parts are there without loss, whole pictures as small JPEGs, and no more than `MOST`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srgan.evaluation.comparison import BICUBIC, ORIGINAL, Comparison
from srgan.evaluation.report import PROTOCOL, EvaluationReport, Mean, PictureScore
from srgan.evaluation.scoring import Trial, alike
from srgan.imaging import Picture, encode_picture, read_picture, resize
from srgan.metrics.judges import FIGURES
from srgan.runtime.session import with_name
from srgan.webpage import as_address, as_text, start_page

WORST = 10
"""Pictures of the worst-ten section."""
MOST = 60
"""Pictures shown; the figures of all are in the last table."""
PART = 96
"""Side of the part that is shown without loss, at twice its size."""
WHOLE = 640
"""Longer side at which whole pictures are kept."""
_STEP = 8
Pixels = NDArray[np.float32]


def comparison_page(
    comparison: Comparison, trial: Trial, folders: Mapping[str, Path], *, worst_by: str = "psnr"
) -> str:
    """The page of ``comparison`` as HTML text.

    ``folders`` holds the results that `Trial.score` of ``trial`` saved, by the labels of the comparison. Pictures are
    ordered by the figure ``worst_by`` of the first model. Raises `InvalidConfig` for a figure that pictures do not
    have, and whatever reading a picture raises.
    """
    names = comparison.worst_first(worst_by)
    paths = {path.name: path for path in trial.paths}
    drawer = _Drawer(comparison, trial, folders, worst_by)
    first = comparison.first
    ours, *_ = comparison.reports
    title = f"{', '.join(comparison.reports)} on {first.dataset}, ×{first.scale}"
    worst, others = names[:WORST], names[WORST:MOST]
    shown = f"; the {MOST} worst of {len(names)} are shown" if len(names) > MOST else ""
    parts = [
        start_page(title, _STYLE + "".join(starmap(_shows, enumerate(drawer.labels)))),
        f"<h1>{as_text(title)}</h1>\n<p>{len(names)} pictures, sorted by {worst_by} of "
        f"{as_text(ours)}, worst first{shown}. {_explained(len(comparison.reports) > 1)}</p>\n",
        *_notes(comparison),
        _means(comparison),
        f"<h2>The worst {len(worst)}</h2>\n" if others else "<h2>Pictures</h2>\n",
        *(drawer.card(number, paths[name]) for number, name in enumerate(worst)),
    ]
    if others:
        parts.append(f"<details><summary><h2>{len(others)} more</h2></summary>\n")
        parts += [drawer.card(number, paths[name]) for number, name in enumerate(others, len(worst))]
        parts.append("</details>\n")
    parts += [_all_pictures(comparison, names, worst_by), _about(comparison)]
    return "".join(parts)


def most_different(pictures: list[Pixels]) -> tuple[int, int]:
    """Top and left of the part, `PART` pixels square or the whole side, in which ``pictures`` differ most.

    They are H x W x 1 or 3 of one size, at least two; what counts is the variance between them, in all three channels
    of which gray is the same.
    """
    coloured = [np.broadcast_to(pixels, (*pixels.shape[:2], 3)) for pixels in pictures]
    spread = np.var(np.stack(coloured), axis=0, dtype=np.float64).mean(axis=2)
    sums = np.pad(spread.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(PART, side) for side in spread.shape)
    tops, lefts = (
        np.unique([*range(0, whole - part + 1, _STEP), whole - part])
        for whole, part in zip(spread.shape, (height, width), strict=True)
    )
    inside = sums[tops + height][:, lefts + width] - sums[tops][:, lefts + width]
    inside += sums[tops][:, lefts] - sums[tops + height][:, lefts]
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return int(tops[row]), int(lefts[column])


@dataclass(frozen=True)
class _Shown:
    label: str
    pixels: Pixels
    figures: dict[str, float]


class _Drawer:
    """Draws one picture of all contenders."""

    def __init__(self, comparison: Comparison, trial: Trial, folders: Mapping[str, Path], worst_by: str) -> None:
        self._comparison = comparison
        self._trial = trial
        self._folders = folders
        self._worst_by = worst_by
        self._scores = {
            label: {score.name: score for score in report.scores} for label, report in comparison.reports.items()
        }
        self._figures = [name for name in comparison.figures if FIGURES[name].kind != "set"]
        self.labels = [ORIGINAL, *([] if BICUBIC in comparison.reports else [BICUBIC]), *comparison.reports]

    def card(self, number: int, path: Path) -> str:
        """The picture: whole, to switch between the contenders; the part where they differ most; its figures."""
        shown = list(self._shown(path))
        models = [one.pixels for one in shown if one.label in self._comparison.reports]
        top, left = most_different(models if len(models) > 1 else [shown[0].pixels, *models])
        height, width = shown[0].pixels.shape[:2]
        part = min(PART, height), min(PART, width)
        place = [100 * left / width, 100 * top / height, 100 * part[1] / width, 100 * part[0] / height]
        frame = "left:{:.2f}%;top:{:.2f}%;width:{:.2f}%;height:{:.2f}%".format(*place)
        inputs = "".join(
            f'<input type="radio" name="v{number}" id="v{number}-{k}"{" checked" if k == 0 else ""}>'
            f'<label for="v{number}-{k}">{as_text(one.label)}</label>'
            for k, one in enumerate(shown)
        )
        wholes = "".join(f'<img src="{_whole(one.pixels)}" alt="{as_text(one.label)}">' for one in shown)
        crops = "".join(
            f'<figure><img src="{_part(one.pixels, top, left, part)}" width="{2 * part[1]}" height="{2 * part[0]}" '
            f'alt="part of {as_text(one.label)}"><figcaption>{as_text(one.label)}{self._caption(one)}</figcaption>'
            "</figure>\n"
            for one in shown
        )
        return (
            f"<article>\n<h3>{as_text(path.name)} <small>{width} × {height}</small></h3>\n"
            f'<div class="parts">\n{crops}</div>\n'
            f'<div class="viewer">{inputs}<div class="stack">{wholes}<i style="{frame}"></i></div></div>\n'
            f'<div class="wide">{self._table(shown)}</div>\n</article>\n'
        )

    def _shown(self, path: Path) -> Iterator[_Shown]:
        scale = self._comparison.first.scale
        case = self._trial.case(path, scale)
        score = next(iter(self._scores.values()))[path.name]
        yield _Shown(ORIGINAL, case.truth, score.reference_more)
        if BICUBIC in self.labels and BICUBIC not in self._scores:
            plain = {"psnr": score.baseline_psnr, "ssim": score.baseline_ssim}
            yield _Shown(BICUBIC, alike(case.bicubic(), case.truth)[0], plain | score.baseline_more)
        for label, scores in self._scores.items():
            result = read_picture(self._trial.target(self._folders[label], path, scale)).colour
            yield _Shown(label, alike(result, case.truth)[0], self._of(scores[path.name]))

    def _of(self, score: PictureScore) -> dict[str, float]:
        return {name: score.figure(name) for name in self._figures}

    def _caption(self, one: _Shown) -> str:
        value = one.figures.get(self._worst_by)
        return "" if value is None else f" <b>{value:.{FIGURES[self._worst_by].digits}f}</b>"

    def _table(self, shown: list[_Shown]) -> str:
        rows = [(one.label, one.figures) for one in shown if one.figures]
        return _table(self._figures, rows, set(self._comparison.reports))


def _table(figures: list[str], rows: list[tuple[str, dict[str, float]]], models: set[str]) -> str:
    """A line for each contender; the best of several ``models`` in bold."""
    best = {name: _best(name, [values[name] for label, values in rows if label in models]) for name in figures}
    lines = []
    for label, values in rows:
        cells = ""
        for name in figures:
            text = f"{values[name]:.{FIGURES[name].digits}f}" if name in values else "–"
            strong = len(models) > 1 and label in models and values.get(name) == best[name]
            cells += f"<td>{f'<b>{text}</b>' if strong else text}</td>"
        lines.append(f'<tr><th scope="row">{as_text(label)}</th>{cells}</tr>\n')
    return f"<table>\n<tr><td></td>{_heads(figures)}</tr>\n{''.join(lines)}</table>\n"


def _heads(figures: list[str]) -> str:
    heads = ""
    for name in figures:
        better = {"higher": "↑", "lower": "↓"}.get(FIGURES[name].better, FIGURES[name].better)
        heads += f'<th scope="col" title="{as_text(FIGURES[name].says)}">{name} {better}</th>'
    return heads


def _best(name: str, values: list[float]) -> float:
    return min(values, key=FIGURES[name].fault)


def _means(comparison: Comparison) -> str:
    """The table on top: means with their intervals, and the time of one picture."""
    figures, lines = comparison.figures, comparison.lines
    models = [line for line in lines if line.label in comparison.reports]
    best = {name: _best(name, [_value(line.means[name]) for line in models if name in line.means]) for name in figures}
    rows = []
    for line in lines:
        cells = ""
        for name in figures:
            if (mean := line.means.get(name)) is None:
                cells += "<td>–</td>"
                continue
            digits = FIGURES[name].digits
            text = f"{_value(mean):.{digits}f}"
            if len(models) > 1 and line in models and _value(mean) == best[name]:
                text = f"<b>{text}</b>"
            if isinstance(mean, Mean):
                text += f"<small>{mean.low:.{digits}f} – {mean.high:.{digits}f}</small>"
            cells += f"<td>{text}</td>"
        seconds = "–" if line.seconds is None else f"{line.seconds:.3f}"
        rows.append(f'<tr><th scope="row">{as_text(line.label)}</th>{cells}<td>{seconds}</td></tr>\n')
    head = f'<tr><td></td>{_heads(figures)}<th scope="col">s per picture</th></tr>'
    return f'<div class="wide"><table class="means">\n{head}\n{"".join(rows)}</table></div>\n'


def _value(mean: Mean | float) -> float:
    return mean.value if isinstance(mean, Mean) else mean


def _explained(several: bool) -> str:
    differ = "the models differ most" if several else "it differs most from the original"
    bold = " The best model is in bold, even if the confidence intervals overlap." if several else ""
    return (
        f"Each begins with the region where {differ}, at twice its size, lossless. Choose above the whole picture "
        f"which result to show; the arrow keys switch between them.{bold}"
    )


def _notes(comparison: Comparison) -> Iterator[str]:
    """What must be known before the figures are read."""
    if comparison.first.protocol != PROTOCOL:
        yield f"<p>Not the standard protocol: {as_text(comparison.first.protocol)}.</p>\n"
    if comparison.warnings:
        lines = "".join(f"<li>{as_text(warning)}</li>\n" for warning in comparison.warnings)
        yield f'<ul class="warning">\n{lines}</ul>\n'
    failed = [(label, failure) for label, report in comparison.full.items() for failure in report.failures]
    if failed:
        lines = "".join(f"<li>{as_text(f'{label}: {failure.reason}')}</li>\n" for label, failure in failed)
        yield f"<details><summary>{len(failed)} failed</summary><ul>\n{lines}</ul></details>\n"


def _all_pictures(comparison: Comparison, names: list[str], worst_by: str) -> str:
    """One figure of every picture and model."""
    scores = [{s.name: s.figure(worst_by) for s in report.scores} for report in comparison.reports.values()]
    digits = FIGURES[worst_by].digits
    heads = "".join(f'<th scope="col">{as_text(label)}</th>' for label in comparison.reports)
    rows = "".join(
        f'<tr><th scope="row">{as_text(name)}</th>'
        + "".join(f"<td>{of_model[name]:.{digits}f}</td>" for of_model in scores)
        + "</tr>\n"
        for name in names
    )
    return (
        f"<details><summary><h2>{worst_by} of every picture</h2></summary>\n"
        f"<table>\n<tr><td></td>{heads}</tr>\n{rows}</table></details>\n"
    )


def _about(comparison: Comparison) -> str:
    """How the figures were taken."""
    features = "".join(
        f"<li>{name} is computed with {as_text(with_what)}</li>\n"
        for name, with_what in comparison.first.features.items()
    )
    runs = "".join(
        f"<li>{as_text(label)}: {as_text(_ran(report))}</li>\n" for label, report in comparison.reports.items()
    )
    return f"<h2>How it was measured</h2>\n<p>{as_text(comparison.first.protocol)}.</p>\n<ul>\n{features}{runs}</ul>\n"


def _ran(report: EvaluationReport) -> str:
    if report.backend == "files":
        return "results of another program; its training losses are unknown"
    where = with_name(report.device, report.device_name)
    return f"model {report.model} on {report.backend}/{where}, {report.precision}"


def _whole(pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    factor = min(1.0, WHOLE / max(height, width))
    small = resize(pixels, max(1, round(height * factor)), max(1, round(width * factor)), "box")
    return as_address(encode_picture(Picture(pixels=small), "JPEG", quality=88), "jpeg")


def _part(pixels: Pixels, top: int, left: int, size: tuple[int, int]) -> str:
    part = np.ascontiguousarray(pixels[top : top + size[0], left : left + size[1]])
    return as_address(encode_picture(Picture(pixels=part), "PNG"), "png")


def _shows(number: int, _: str) -> str:
    """The rule by which the chosen one of the whole pictures is seen."""
    nth = f":nth-of-type({number + 1})"
    return f".viewer input{nth}:checked ~ .stack img{nth} {{ visibility: visible; }}\n"


_STYLE = """body { max-width: 90rem; margin-inline: auto; padding: 0 1.5rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
summary h2 { display: inline; }
h3, .parts { grid-column: 1 / -1; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
small { color: GrayText; font-weight: normal; }
.warning { border-left: .3rem solid #d9822b; padding: .4rem 1rem .4rem 1.8rem; margin: 1rem 0; max-width: 60rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid color-mix(in srgb, CanvasText 15%, Canvas); }
th[scope=row], tr > :first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; white-space: nowrap; }
.means { font-size: .95rem; }
.means small { display: block; font-size: .75rem; white-space: nowrap; }
article { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: .5rem 1.5rem; margin: 1rem 0 2rem;
  padding-top: 1rem; border-top: 1px solid color-mix(in srgb, CanvasText 25%, Canvas); }
.viewer input { position: absolute; opacity: 0; }
.viewer label { display: inline-block; padding: .1rem .6rem; margin: 0 .2rem .4rem 0; font-size: .85rem;
  cursor: pointer; border-radius: 1rem; border: 1px solid color-mix(in srgb, CanvasText 25%, Canvas); }
.viewer input:checked + label { background: CanvasText; color: Canvas; }
.viewer input:focus-visible + label { outline: 2px solid Highlight; outline-offset: 2px; }
.stack { display: grid; position: relative; width: fit-content; }
.stack img { grid-area: 1 / 1; max-width: 100%; visibility: hidden; }
.stack i { position: absolute; border: 2px solid #fff; outline: 1px solid #000; box-sizing: border-box;
  pointer-events: none; }
.parts { display: flex; flex-wrap: wrap; gap: .8rem; }
.parts img { image-rendering: pixelated; display: block; }
@media (max-width: 60rem) { article { grid-template-columns: minmax(0, 1fr); } }
"""
