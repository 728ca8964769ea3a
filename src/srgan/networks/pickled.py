"""Weights in PyTorch's own files, which are pickles: read by a process of its own, which hands back tensors alone.

The process allows only what `torch.load` calls weights, but that door has been forced before (CVE-2025-32434,
CVE-2026-24747): so it also has no standard input, little environment, a limit on time and, where the system has such
limits, on what it may write. What comes back is a safetensors file. Only files of srgan's own dependencies are read
otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srgan.errors import CorruptModel, ModelNotFound

MAX_BYTES = 4 << 30
SECONDS = 120
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "OPENBLAS_CORETYPE")
"""Variables that a Python with torch may need to start at all."""


def read_pickled(path: Path, where: str) -> dict[str, Any]:
    """What the PyTorch file at ``path`` holds: mappings by name, tensors on the CPU, and None for anything else.

    ``where`` names the setting in errors. Raises `ModelNotFound` where there is no file, and `CorruptModel` for one
    that is damaged, larger than 4 GiB, takes longer than two minutes, or holds more than weights.
    """
    from safetensors import safe_open

    if path.is_dir():
        raise ModelNotFound(f"{where}: {path}: is a folder; give a file of weights, such as one of its checkpoints")
    if not path.is_file():
        raise ModelNotFound(f"{where}: {path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise CorruptModel(f"{where}: {path}: larger than {MAX_BYTES >> 30} GiB")
    with tempfile.TemporaryDirectory(prefix="srgan-pickled-") as folder:
        target = Path(folder) / "weights.safetensors"
        said = _run([sys.executable, "-I", __file__, str(path.resolve()), str(target)], folder)
        try:
            with safe_open(target, "pt") as file:
                places = json.loads(file.metadata()["places"])
                found: dict[str, Any] = {}
                for name, place in places.items():
                    _put(found, place, file.get_tensor(name))
                for place in json.loads(file.metadata()["others"]):
                    _put(found, place, None)
        except Exception as error:  # there is no file, or not one that this process would write
            raise CorruptModel(f"{where}: {path}: not a PyTorch file of weights alone ({said})") from error
    return found


def _run(command: list[str], folder: str) -> str:
    """Run the other process; its last words."""
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ} | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {SECONDS} seconds"
    except OSError as error:
        return f"no process could be started: {error}"
    lines = [" ".join(line.split()) for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"exit code {done.returncode}"


def _put(found: dict[str, Any], place: list[str], value: Tensor | None) -> None:
    for name in place[:-1]:
        found = found.setdefault(name, {})
    found[place[-1]] = value


def _leaves(content: Mapping[Any, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in content.items():
        place = (*above, str(name))
        if isinstance(value, Mapping):
            yield from _leaves(value, place)
        else:
            yield place, value


def main(source: str, target: str) -> None:
    """In the other process: write the tensors of ``source`` to ``target``, or leave with last words for a person."""
    from safetensors.torch import save_file

    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_BYTES, MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's text is of pages, for those who call it
        sys.exit(f"damaged, of another kind, or with code in it: {type(error).__name__}")
    if not isinstance(content, Mapping):
        sys.exit("it holds no weights by name")
    tensors: dict[str, Tensor] = {}
    places: dict[str, tuple[str, ...]] = {}
    others = []
    for number, (place, value) in enumerate(_leaves(content)):
        if isinstance(value, Tensor):
            places[str(number)] = place
            # Clones, since safetensors refuses tensors that share memory.
            tensors[str(number)] = value.detach().clone(memory_format=torch.contiguous_format)
        else:
            others.append(place)
    save_file(tensors, target, {"places": json.dumps(places), "others": json.dumps(others)})


if __name__ == "__main__":
    main(*sys.argv[1:])
