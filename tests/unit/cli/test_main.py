"""The command line as a whole: help, version, mistakes, talk."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from srgan import cli
from srgan.errors import Cancelled
from srgan.runtime import Device


def test_the_version_is_that_of_the_package(srgan: Callable[..., Any]) -> None:
    assert srgan("--version").out == f"srgan {version('srgan')}\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_the_commands_and_is_a_result(flag: str, srgan: Callable[..., Any]) -> None:
    done = srgan(flag)
    assert (done.code, done.err) == (0, "")
    listed = [line.split()[0] for line in done.out.split("Commands:")[1].splitlines() if line.startswith("  ")]
    assert {"upscale", "batch-process", "models", "evaluate", "bench", "devices", "config", "train"} <= set(listed)
    assert "batch" not in listed, "the alias is there, but one name is enough for the list"


def test_without_a_command_the_help_is_shown_as_a_mistake(srgan: Callable[..., Any]) -> None:
    done = srgan()
    assert (done.code, done.out) == (2, "")
    assert "Commands:" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upscalee"], "No such command 'upscalee'. Did you mean 'upscale'? Try: srgan --help"),
        (
            ["upscale", "--modell", "x"],
            "No such option: --modell (Possible options: --model). Try: srgan upscale --help",
        ),
        (["upscale", "in.png"], "Missing argument 'OUT'. Try: srgan upscale --help"),
        (["models", "show"], "Missing argument 'MODEL'. Try: srgan models show --help"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_with_the_way_to_help(
    arguments: list[str], said: str, srgan: Callable[..., Any]
) -> None:
    done = srgan(*arguments)
    assert (done.code, done.out, done.err) == (2, "", f"srgan: error: {said}\n")


def test_a_value_of_the_wrong_type_is_one_line_that_names_the_option(srgan: Callable[..., Any]) -> None:
    done = srgan("upscale", "in.png", "out.png", "--tile", "abc")
    assert done.code == 2
    assert "'--tile'" in done.err
    assert done.err.count("\n") == 1


def test_devices_are_listed_for_people_and_for_programs(
    srgan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real list loads every backend's library; the acceptance tests do that.
    here = [Device(backend="ncnn", device="cpu", name="A Processor", memory_bytes=16_000_000_000)]
    monkeypatch.setattr("srgan.runtime.list_devices", lambda: here)
    monkeypatch.setattr("srgan.runtime.unavailable_backends", lambda: {"torch": "torch is not installed"})
    done = srgan("devices")
    assert done.out.splitlines()[1].split() == ["ncnn", "cpu", "A", "Processor", "16.0", "GB"]
    assert done.err == "torch: torch is not installed\n"
    document = json.loads(srgan("devices", "--json").out)
    assert document["devices"][0]["device"] == "cpu"
    assert document["unavailable"] == {"torch": "torch is not installed"}


@pytest.mark.parametrize("place", ["before", "after"])
def test_verbosity_can_stand_before_and_after_the_command(
    place: str, srgan: Callable[..., Any], picture: Path, tmp_path: Path
) -> None:
    command = ["upscale", picture, tmp_path / "out.png", "--model", "none-such"]
    done = srgan("-vv", *command) if place == "before" else srgan(*command, "-vv")
    assert done.code == 4
    assert "Traceback" in done.err


def test_a_failure_inside_a_command_is_a_bug_with_a_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("srgan.models.list_models", broken)
    assert cli.run(["models", "list"]) == 70
    err = capsys.readouterr().err
    assert "RuntimeError: boom" in err
    assert "this is a bug in srgan" in err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled("stopped")])
def test_stopping_is_quiet_and_has_its_code(
    error: BaseException, srgan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        raise error

    monkeypatch.setattr("srgan.models.list_models", stop)
    done = srgan("models", "list")
    assert (done.code, done.out, done.err) == (130, "", "srgan: stopped\n")
