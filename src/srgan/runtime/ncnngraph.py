"""ncnn's text form of a graph, looked at before the engine reads it: ncnn trusts what it says."""

from __future__ import annotations

import re

from srgan.errors import CorruptModel
from srgan.models.bundle import NCNN_PARAM

_MAGIC = "7767517"
_MAX_LAYERS = 20_000
_GEOMETRY = frozenset(map(str, (1, 2, 3, 4, 11, 12, 13, 14, 15, 16)))  # kernel, dilation, stride and padding
_LARGEST_GEOMETRY = 64
_FILL = -234  # ncnn's sign for a padding that keeps the size


def check_graph(graph: str, where: str) -> None:
    """Refuse a graph whose counts are wrong: ncnn writes as many entries as it finds into tables of the size stated."""
    lines = [line.split() for line in graph.split("\n") if line.strip()]
    try:
        if lines[0] != [_MAGIC]:
            raise ValueError("it does not begin with ncnn's number")
        layers, blobs = map(int, lines[1])
        if not 0 < layers <= _MAX_LAYERS or layers != len(lines) - 2:
            raise ValueError(f"it states {layers} layers and has {len(lines) - 2}")
        made: set[str] = set()
        for fields in lines[2:]:
            takes, gives = int(fields[2]), int(fields[3])
            names = fields[4 : 4 + takes + gives]
            if takes < 0 or gives < 0 or len(names) != takes + gives:
                raise ValueError(f"layer {fields[1]} does not name its {takes} inputs and {gives} outputs")
            if not made.issuperset(names[:takes]) or made.intersection(names[takes:]):
                raise ValueError(f"layer {fields[1]} takes what no layer before it makes, or makes it again")
            made.update(names[takes:])
            _check_convolution(fields[0], fields[4 + takes + gives :])
        if blobs != len(made):
            raise ValueError(f"it states {blobs} blobs and has {len(made)}")
    except (ValueError, IndexError) as error:
        raise CorruptModel(f"{where}: {NCNN_PARAM} is damaged: {error}") from error


def _check_convolution(kind: str, settings: list[str]) -> None:
    """Refuse kernels, steps and borders so large that they can only be damage: ncnn would run for hours, or crash."""
    if "onvolution" not in kind:
        return
    for setting in settings:
        key, _, value = setting.partition("=")
        if key in _GEOMETRY and not _FILL <= int(value) <= _LARGEST_GEOMETRY:
            raise ValueError(f"a convolution has the setting {setting}")


def largest_kernel(graph: str) -> int:
    """The largest kernel side of a plain convolution in ``graph``, 1 when there is none."""
    return max(map(int, re.findall(r"^Convolution\s.*?\s1=(\d+)", graph, re.MULTILINE)), default=1)
