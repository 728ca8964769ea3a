"""ncnn's text form of a graph: what is damaged is refused before the engine sees it."""

from __future__ import annotations

import numpy as np
import pytest

from srgan.errors import CorruptModel
from srgan.runtime.ncnngraph import check_graph, largest_kernel

GRAPH = """7767517
3 3
Input in0 0 1 in0
Convolution spread 1 1 in0 wide 0=12 1=1 4=0 5=1 6=36
PixelShuffle shuffle 1 1 wide out0 0=2 1=0
"""


def test_a_sound_graph_passes() -> None:
    check_graph(GRAPH, "here")
    check_graph(GRAPH.replace("\n", "\n\n"), "here")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (GRAPH, "", "damaged"),
        ("7767517", "1234567", "does not begin"),
        ("3 3\n", "three 3\n", "damaged"),
        ("3 3\n", "9 3\n", "states 9 layers and has 3"),
        ("3 3\n", "-3 3\n", "states -3 layers"),
        ("3 3\n", "3 2\n", "states 2 blobs and has 3"),
        ("3 3\n", "3 90000\n", "states 90000 blobs and has 3"),
        ("spread 1 1 in0 wide", "spread 1 1 nothing wide", "takes what no layer before it makes"),
        ("spread 1 1 in0 wide", "spread 1 1 in0 in0", "makes it again"),
        ("spread 1 1 in0 wide", "spread 1 -1 in0 wide", "does not name"),
        ("spread 1 1 in0 wide", "spread 1 700 in0 wide", "does not name"),
        ("1 1 wide out0 0=2 1=0", "1", "damaged"),
        ("4=0", "14=2147483647", "a convolution has the setting 14=2147483647"),
        ("4=0", "4=", "damaged"),
    ],
)
def test_a_damaged_graph_is_refused(old: str, new: str, message: str) -> None:
    assert old in GRAPH
    with pytest.raises(CorruptModel, match=message) as caught:
        check_graph(GRAPH.replace(old, new), "here")
    assert "here: model.ncnn.param is damaged" in str(caught.value)


def test_a_graph_of_random_bytes() -> None:
    data = np.random.default_rng(1).integers(0, 256, 4000, dtype=np.uint8).tobytes()

    with pytest.raises(CorruptModel, match="damaged"):
        check_graph(data.decode("utf-8", "replace"), "here")


@pytest.mark.parametrize("kernel", [1, 3, 9])
def test_the_largest_kernel_is_that_of_plain_convolutions(kernel: int) -> None:
    wide = "ConvolutionDepthWise wide 1 1 a b 0=3 1=21"

    assert largest_kernel(f"{wide}\nConvolution one 1 1 a b 0=12 1={kernel} 4=0\n") == kernel
    assert largest_kernel(wide) == 1
