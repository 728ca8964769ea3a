"""Options that stand for settings: one source for help, choices and defaults, and the order of sources."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from srgan.cli import app
from srgan.cli.options import key_of
from srgan.config import find_key, list_keys
from srgan.settings import Settings

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def setting_options() -> list[tuple[str, Any, str]]:
    """Every option of every command that stands for a setting, with its key."""
    return [(name, o, key) for name, command in COMMANDS.items() for o in command.params if (key := key_of(o))]


def test_every_option_for_a_setting_names_a_key_that_exists_and_is_not_given_by_default() -> None:
    found = setting_options()
    assert len(found) > 20
    for name, option, key in found:
        assert find_key(Settings, key), (name, key)
        assert option.default is None, (name, key)


def test_every_option_for_a_setting_is_called_like_the_key_so_that_messages_name_it() -> None:
    for name, option, key in setting_options():
        assert "--" + key.rpartition(".")[2].replace("_", "-") in option.opts, (name, key)


def test_every_setting_of_upscale_and_runtime_but_the_memory_limit_has_an_option() -> None:
    keys = {key for name, _, key in setting_options() if name == "upscale"}
    wanted = {key for key, _ in list_keys(Settings) if key.startswith(("upscale.", "runtime."))}
    assert wanted - keys == {"runtime.memory_limit"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_every_command_teaches(name: str, srgan: Callable[..., Any]) -> None:
    done = srgan(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert "setting:" not in done.out
    command = COMMANDS[name]
    for leaf in getattr(command, "commands", {name: command}).values():
        assert leaf.help, leaf.name
        assert sum("srgan " in line for line in leaf.epilog.splitlines()) >= 2, f"{leaf.name}: two examples at least"
        for parameter in leaf.params:
            assert parameter.help, (leaf.name, parameter.name)


def test_the_help_of_an_option_is_that_of_its_setting(srgan: Callable[..., Any]) -> None:
    text = " ".join(srgan("upscale", "--help").out.split())
    for key in ("upscale.model", "runtime.precision", "upscale.quality"):
        field = find_key(Settings, key)
        assert f"{field.description} [{key}" in text
    assert "[upscale.model; default: fast]" in text
    assert "[auto|fp32|fp16|bf16]" in text
    assert "--quality 1-100" in text


def test_the_examples_in_the_help_are_commands_that_exist(srgan: Callable[..., Any]) -> None:
    for command in COMMANDS.values():
        for leaf in getattr(command, "commands", {"": command}).values():
            for line in leaf.epilog.splitlines():
                word, _, rest = line.strip().partition(" ")
                if word == "srgan":
                    assert rest.split()[0] in COMMANDS, line


@pytest.mark.parametrize(
    ("words", "expected"),
    [("--precision ", ["auto", "fp32", "fp16", "bf16"]), ("--precision f", ["fp32", "fp16"]), ("--model m", ["mine"])],
)
def test_the_shell_completes_the_values_of_options(
    words: str,
    expected: list[str],
    srgan: Callable[..., Any],
    bundles: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = f"srgan upscale {words}"
    monkeypatch.setenv("_SRGAN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
    offered = srgan().out.split()
    assert set(expected) <= set(offered)
    if words.endswith(" f"):
        assert "auto" not in offered


# --------------------------------------------------------------------------------------------- precedence


def width_of(done: Any) -> int:
    """Width of the output, from the line that `upscale` prints."""
    assert done.code == 0, done.err
    return int(done.out.split(" -> ")[1].split("x")[0])


def test_flags_win_over_set_over_environment_over_file(
    srgan: Callable[..., Any], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[upscale]\nmodel = "bicubic"\nscale = 2\n')

    def upscale(*more: str) -> int:
        return width_of(srgan("upscale", picture, tmp_path / "out.png", "--overwrite", "--config", file, *more))

    assert upscale() == 24
    monkeypatch.setenv("SRGAN_UPSCALE__SCALE", "3")
    assert upscale() == 36
    assert upscale("--set", "upscale.scale=4") == 48
    assert upscale("--set", "upscale.scale=4", "--scale", "5") == 60


def test_the_variable_names_the_file_and_the_option_wins_over_it(
    srgan: Callable[..., Any], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scale in (2, 3):
        (tmp_path / f"{scale}.toml").write_text(f'upscale = {{model = "bicubic", scale = {scale}}}')
    monkeypatch.setenv("SRGAN_CONFIG", str(tmp_path / "2.toml"))
    command = ("upscale", picture, tmp_path / "out.png", "--overwrite")
    assert width_of(srgan(*command)) == 24
    assert width_of(srgan(*command, "--config", tmp_path / "3.toml")) == 36


def test_no_file_is_picked_up_unasked(
    srgan: Callable[..., Any], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "srgan.toml").write_text("upscale = {scale = 2}")
    monkeypatch.chdir(tmp_path)
    assert width_of(srgan("upscale", picture, "out.png", "--model", "bicubic")) == 48


def test_all_mistakes_come_at_once_each_on_a_line(
    srgan: Callable[..., Any], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRGAN_RUNTIME__THREADS", "many")
    done = srgan("upscale", picture, tmp_path / "out.png", "--quality", "0", "--set", "upscale.modle=x")
    assert (done.code, done.out) == (2, "")
    assert sorted(line.split(": ")[2] for line in done.err.splitlines()) == [
        "runtime.threads",
        "upscale.modle",
        "upscale.quality",
    ]
    assert not (tmp_path / "out.png").exists()


LISTENING = """
import ctypes, os
from srgan.cli import options

class Library:
    def mallopt(self, option, value):
        print(option, value)

ctypes.CDLL = lambda name: Library()
options.share_freed_memory()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="is about the allocator of Linux")
@pytest.mark.parametrize(("environment", "said"), [({}, "-8 1\n"), ({"MALLOC_ARENA_MAX": "4"}, "")])
def test_threads_share_freed_memory_unless_the_user_wants_otherwise(environment: dict[str, str], said: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", LISTENING]

    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)

    assert done.stdout == said
