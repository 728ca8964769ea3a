"""What the machine has: names, cores that may be used, and a survey that no broken backend can stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from srgan.errors import MissingDependency
from srgan.runtime import Device, devices, list_devices, unavailable_backends
from srgan.runtime.devices import Survey


class Surveys:
    """Stands for the table of surveys."""

    def __init__(self, **surveys: Callable[[], Survey]) -> None:
        self.surveys = surveys

    def names(self) -> list[str]:
        return list(self.surveys)

    def load(self, name: str) -> Callable[[], Survey]:
        return self.surveys[name]


def missing() -> Survey:
    raise MissingDependency("gadget", "gadgets")


def cpu_only() -> Survey:
    return Survey([Device(backend="b", device="cpu", name="CPU")], {"cuda": "no driver"})


def test_devices_and_reasons_of_all_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "SURVEYS", Surveys(a=missing, b=cpu_only))

    assert list_devices() == [Device(backend="b", device="cpu", name="CPU")]
    assert unavailable_backends() == {
        "a": "gadget is not installed. Install it with: pip install 'srgan[gadgets]'",
        "b cuda": "no driver",
    }


def test_a_library_that_breaks_on_import_is_a_reason_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Survey:
        raise ImportError("libfoo.so: cannot open shared object file")

    monkeypatch.setattr(devices, "SURVEYS", Surveys(a=broken, b=cpu_only))

    assert [device.backend for device in list_devices()] == ["b"]
    assert "libfoo.so" in unavailable_backends()["a"]


def test_every_survey_of_the_table_can_be_imported() -> None:
    assert list(devices.SURVEYS.builtin) == ["ncnn", "onnx", "torch", "resize"]
    for name in devices.SURVEYS.builtin:
        assert callable(devices.SURVEYS.load(name))


@pytest.mark.parametrize(
    ("platform", "present", "variable", "expected"),
    [
        ("linux", {"/dev/nvidiactl"}, None, True),
        ("linux", {"/dev/dxg"}, "0,1", True),
        ("linux", set(), None, False),
        ("linux", {"/dev/nvidiactl"}, "", False),
        ("linux", {"/dev/nvidiactl"}, "-1", False),
        ("darwin", {"/dev/nvidiactl"}, None, False),
    ],
)
def test_whether_cuda_is_worth_a_look(
    monkeypatch: pytest.MonkeyPatch, platform: str, present: set[str], variable: str | None, expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os.path, "exists", lambda path: path in present)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)

    assert devices.may_have_cuda() is expected


@pytest.mark.parametrize(
    ("platform", "present", "nodes", "expected"),
    [
        ("linux", set(), ["card0", "renderD128"], True),
        ("linux", set(), ["card0"], False),
        ("linux", {"/dev/nvidiactl"}, [], True),
        ("linux", set(), [], False),
        ("win32", set(), [], True),
    ],
)
def test_whether_vulkan_is_worth_a_look(
    monkeypatch: pytest.MonkeyPatch, platform: str, present: set[str], nodes: list[str], expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os.path, "exists", lambda path: path in present)
    monkeypatch.setattr(devices, "_names", lambda folder: nodes)

    assert devices.may_have_vulkan_gpu() is expected
