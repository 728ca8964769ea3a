"""Scoring models against reference pictures, alone or side by side."""

from srgan.evaluation.comparison import BICUBIC, ORIGINAL, Comparison, Line, check_order
from srgan.evaluation.inputs import Degraded, Inputs, LowFolder, Results, Shrunk
from srgan.evaluation.recording import record_quality
from srgan.evaluation.report import (
    PERFECT_PSNR,
    PROTOCOL,
    EvaluationReport,
    Failure,
    Mean,
    PictureScore,
    SetFigure,
)
from srgan.evaluation.scoring import Case, Trial, evaluate, whole_scale
from srgan.evaluation.webpage import comparison_page, most_different

__all__ = [
    "BICUBIC",
    "ORIGINAL",
    "PERFECT_PSNR",
    "PROTOCOL",
    "Case",
    "Comparison",
    "Degraded",
    "EvaluationReport",
    "Failure",
    "Inputs",
    "Line",
    "LowFolder",
    "Mean",
    "PictureScore",
    "Results",
    "SetFigure",
    "Shrunk",
    "Trial",
    "check_order",
    "comparison_page",
    "evaluate",
    "most_different",
    "record_quality",
    "whole_scale",
]
