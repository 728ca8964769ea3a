"""The tree of errors: what it holds, what its messages are, and that it is drawn right."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from srgan import errors
from srgan.errors import InvalidConfig, MissingDependency, SrganError

ALL = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
]


def make(error: type[SrganError]) -> SrganError:
    return MissingDependency("torch", "train") if error is MissingDependency else error("what is wrong")


def test_every_error_is_a_leaf_of_one_tree() -> None:
    assert len(ALL) > 10
    assert {error.__bases__ for error in ALL if error is not SrganError} == {(SrganError,)}


def test_the_drawn_tree_shows_every_error_once_in_order() -> None:
    drawn = re.findall(r"[├└]── (\w+) ", errors.__doc__ or "")

    assert drawn == [error.__name__ for error in ALL if error is not SrganError]


@pytest.mark.parametrize("error", [e for e in ALL if e is not MissingDependency], ids=lambda e: e.__name__)
def test_without_a_message_the_docstring_is_the_message(error: type[SrganError]) -> None:
    assert str(error()) == inspect.cleandoc(error.__doc__ or "")
    assert str(error()).endswith(".")
    assert str(error("a.png: is empty")) == "a.png: is empty"


@pytest.mark.parametrize("error", ALL, ids=lambda e: e.__name__)
def test_errors_pass_between_processes(error: type[SrganError]) -> None:
    original = make(error)

    copy = pickle.loads(pickle.dumps(original))

    assert type(copy) is error
    assert str(copy) == str(original)
    assert vars(copy) == vars(original)


def test_a_missing_library_is_named_with_the_command_that_brings_it() -> None:
    error = MissingDependency("onnxruntime", "onnx")

    assert (error.package, error.extra) == ("onnxruntime", "onnx")
    assert str(error) == "onnxruntime is not installed. Install it with: pip install 'srgan[onnx]'"


def test_the_cause_is_kept() -> None:
    cause = ValueError("deep inside")

    def fail() -> None:
        raise InvalidConfig("the file is wrong") from cause

    with pytest.raises(SrganError) as caught:
        fail()

    assert caught.value.__cause__ is cause
