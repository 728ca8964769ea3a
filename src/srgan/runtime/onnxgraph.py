"""Leaving out what a run does not need of an ONNX graph with several outputs, without the onnx library.

ONNX Runtime computes every node of a graph, whatever outputs it is asked for. So the nodes that lead to no output that
is wanted are taken out of the file's bytes, which are a tree of numbered fields (protobuf's wire format), before it
sees them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

_GRAPH = 7  # of the model
_NODE, _INITIALIZER, _OUTPUT = 1, 5, 12  # of the graph
_TAKES, _GIVES = 1, 2  # of a node
_TENSOR_NAME, _VALUE_NAME = 8, 1


class _Field(NamedTuple):
    number: int
    whole: memoryview
    content: memoryview
    """Without number and length; empty for a plain number."""


def keep_outputs(model: bytes, wanted: Collection[str]) -> bytes:
    """``model`` with the outputs ``wanted`` alone, and no node or weight that they do not need.

    For graphs without branches and loops, such as networks are. Raises ValueError for bytes that are no such model, or
    one that lacks an output.
    """
    parts = list(_fields(memoryview(model)))
    return b"".join(
        _delimited(_GRAPH, _pruned(part.content, wanted)) if part.number == _GRAPH else bytes(part.whole)
        for part in parts
    )


def _pruned(graph: memoryview, wanted: Collection[str]) -> bytes:
    parts = list(_fields(graph))
    there = {_text(part, _VALUE_NAME) for part in parts if part.number == _OUTPUT}
    if missing := set(wanted) - there:
        raise ValueError(f"it has no output {', '.join(sorted(missing))}")
    needed = set(wanted)
    kept: set[int] = set()
    # Each node stands behind those that it takes from.
    for index in range(len(parts) - 1, -1, -1):
        if parts[index].number == _NODE:
            inside = list(_fields(parts[index].content))
            if not needed.isdisjoint(_texts(inside, _GIVES)):
                needed.update(_texts(inside, _TAKES))
                kept.add(index)

    def stays(index: int, part: _Field) -> bool:
        if part.number == _NODE:
            return index in kept
        if part.number == _INITIALIZER:
            return _text(part, _TENSOR_NAME) in needed
        return part.number != _OUTPUT or _text(part, _VALUE_NAME) in wanted

    return b"".join(bytes(part.whole) for index, part in enumerate(parts) if stays(index, part))


def _fields(data: memoryview) -> Iterator[_Field]:
    """The fields of a message, in their order."""
    at = 0
    while at < len(data):
        start = at
        key, at = _number(data, at)
        kind = key & 7
        if kind == 2:
            length, at = _number(data, at)
            content, at = data[at : at + length], at + length
        elif kind == 0:
            content, (_, at) = data[:0], _number(data, at)
        elif kind in (1, 5):
            content, at = data[:0], at + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"a field of kind {kind}")
        if at > len(data):
            raise ValueError("it ends within a field")
        yield _Field(key >> 3, data[start:at], content)


def _number(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits to the byte, lowest first, and where it ends."""
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("it ends within a number")


def _delimited(number: int, content: bytes) -> bytes:
    head = bytearray()
    for value in (number << 3 | 2, len(content)):
        while value > 127:
            head.append(value & 127 | 128)
            value >>= 7
        head.append(value)
    return bytes(head) + content


def _texts(fields: list[_Field], number: int) -> list[str]:
    return [bytes(field.content).decode("utf-8", "replace") for field in fields if field.number == number]


def _text(field: _Field, number: int) -> str:
    return next(iter(_texts(list(_fields(field.content)), number)), "")
