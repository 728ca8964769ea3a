"""Taking what is not needed out of an ONNX file: by hand-made bytes, without the library."""

from __future__ import annotations

import pytest

from srgan.runtime.onnxgraph import keep_outputs


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 1 << 14
    length = bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    return bytes([number << 3 | 2]) + length + content


def node(takes: str, gives: str) -> bytes:
    names = [field(1, name.encode()) for name in takes.split()] + [field(2, name.encode()) for name in gives.split()]
    return field(1, b"".join(names) + field(4, b"Add"))


def weight(name: str, size: int = 3) -> bytes:
    # Dimension and type as plain numbers, the name behind, and raw data that looks like anything.
    return field(5, b"\x08\x03\x10\x01" + field(8, name.encode()) + field(9, bytes(range(size))))


def value(number: int, name: str) -> bytes:
    return field(number, field(1, name.encode()))


def model(*graph: bytes) -> bytes:
    # Numbers of one, four and eight bytes before and behind the graph.
    before, behind = b"\x08\x96\x01" + field(2, b"srgan"), b"\x95\x06abcd" + b"\x91\x06abcdefgh"
    return before + field(7, b"".join(graph)) + behind


A, B, C = node("input w1", "a"), node("a w2", "b"), node("a w3", "c c2")
W1, W2, W3 = weight("w1"), weight("w2", 200), weight("w3")
IN, OUT_B, OUT_C = value(11, "input"), value(12, "b"), value(12, "c")
WHOLE = model(A, B, C, field(2, b"name"), W1, W2, W3, IN, OUT_B, OUT_C)


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (["b"], model(A, B, field(2, b"name"), W1, W2, IN, OUT_B)),
        (["c"], model(A, C, field(2, b"name"), W1, W3, IN, OUT_C)),
        (["b", "c"], WHOLE),
    ],
)
def test_nodes_weights_and_outputs_that_lead_nowhere_go(wanted: list[str], left: bytes) -> None:
    assert keep_outputs(WHOLE, wanted) == left


def test_an_output_that_another_node_uses_stays_what_it_is() -> None:
    chain = model(A, node("a w2", "b"), node("b", "d"), W1, W2, IN, OUT_B, value(12, "d"))

    assert keep_outputs(chain, ["d"]) == model(A, node("a w2", "b"), node("b", "d"), W1, W2, IN, value(12, "d"))
    assert keep_outputs(chain, ["b"]) == model(A, node("a w2", "b"), W1, W2, IN, OUT_B)


def test_an_output_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="it has no output soup"):
        keep_outputs(WHOLE, ["b", "soup"])


@pytest.mark.parametrize(
    ("damaged", "complaint"),
    [
        (WHOLE[:-1], "ends within a field"),
        (WHOLE[:60], "ends within a field"),
        (b"\x3b" + WHOLE, "a field of kind 3"),
        (b"\xff" * 12, "ends within a number"),
        (b"\x3a", "ends within a number"),
    ],
)
def test_damage_is_noticed(damaged: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        keep_outputs(damaged, ["b"])
