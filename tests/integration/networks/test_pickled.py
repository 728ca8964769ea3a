"""PyTorch files are read elsewhere, and hand back tensors alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the files are torch's")

from srgan.errors import CorruptModel, ModelNotFound  # noqa: E402 (torch first: without it nothing here can run)
from srgan.networks import pickled  # noqa: E402
from srgan.networks.pickled import read_pickled  # noqa: E402

WHERE = "network.init_from"


def test_mappings_and_tensors_come_back_and_the_rest_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    one, half = torch.rand(2, 3).t(), torch.rand(4).half()
    torch.save({"params_ema": {"a.weight": one, "b.bias": half, "deep": {"x": one}}, "step": 7, "names": ["n"]}, path)

    found = read_pickled(path, WHERE)

    assert torch.equal(found["params_ema"]["a.weight"], one)
    assert found["params_ema"]["b.bias"].dtype == torch.float16
    assert torch.equal(found["params_ema"]["b.bias"], half)
    assert torch.equal(found["params_ema"]["deep"]["x"], one)
    assert found["step"] is None
    assert found["names"] is None
    assert list(found["params_ema"]) == ["a.weight", "b.bias", "deep"]


def test_the_pickle_is_not_opened_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pth"
    torch.save({"weight": torch.ones(2)}, path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loaded here"))

    assert torch.equal(read_pickled(path, WHERE)["weight"], torch.ones(2))


def test_the_other_process_knows_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pth"
    torch.save({"weight": torch.ones(2)}, path)
    seen: list[dict[str, str]] = []
    run = subprocess.run

    def watching(*command: Any, **settings: Any) -> Any:
        seen.append(settings["env"])
        return run(*command, **settings)

    monkeypatch.setenv("JWT_SECRET_KEY", "secret")
    monkeypatch.setattr(subprocess, "run", watching)
    read_pickled(path, WHERE)

    assert "secret" not in seen[0].values()
    assert "PATH" in seen[0]
    assert os.environ["JWT_SECRET_KEY"] == "secret"


class Evil:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._mark,))


@pytest.mark.usefixtures("pickles_read_here")
@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"PK\x03\x04 and no zip", "code", [1, 2]])
def test_what_is_no_file_of_weights_is_refused(content: Any, tmp_path: Path) -> None:
    refused(content, tmp_path)


@pytest.mark.parametrize("content", ["code", pytest.param([1, 2], marks=pytest.mark.soak)])
def test_so_says_the_other_process(content: Any, tmp_path: Path) -> None:
    refused(content, tmp_path)


def refused(content: Any, tmp_path: Path) -> None:
    path, mark = tmp_path / "net.pth", tmp_path / "mark"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"weight": Evil(mark)} if content == "code" else content, path)

    said = r"network\.init_from: .*net\.pth: not a PyTorch file of weights alone \((damaged|it holds)[^\n]{,80}\)$"
    with pytest.raises(CorruptModel, match=said):
        read_pickled(path, WHERE)
    assert not mark.exists()


def test_limits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pth"
    torch.save({"weight": torch.ones(2)}, path)
    with pytest.raises(ModelNotFound, match="no such file"):
        read_pickled(tmp_path / "none.pth", WHERE)
    with pytest.raises(ModelNotFound, match="is a folder; give a file of weights"):
        read_pickled(tmp_path, WHERE)
    monkeypatch.setattr(pickled, "SECONDS", 0.01)
    with pytest.raises(CorruptModel, match="longer than"):
        read_pickled(path, WHERE)
    monkeypatch.setattr(pickled, "MAX_BYTES", 10)
    with pytest.raises(CorruptModel, match="larger than"):
        read_pickled(path, WHERE)
