"""The model bundle: a folder, or the same folder zipped, with `model.toml` and the weights in one or more forms.

    model.toml            what the model is (`ModelInfo`), with the SHA-256 of every other file
    model.ncnn.param      } the form for CPUs and Vulkan devices
    model.ncnn.bin        }
    model.onnx            the portable form
    weights.safetensors   the trainable form

It is the only contract between training, conversion, evaluation and inference.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from srgan.errors import CannotWrite, CorruptModel, ModelNotFound
from srgan.models.info import ModelInfo, info_from_toml, info_to_toml

INFO_FILE = "model.toml"
NCNN_PARAM = "model.ncnn.param"
NCNN_BIN = "model.ncnn.bin"
ONNX = "model.onnx"
SAFETENSORS = "weights.safetensors"
KNOWN_FILES = (NCNN_PARAM, NCNN_BIN, ONNX, SAFETENSORS)
MAX_FILE_BYTES = 2 << 30


@dataclass(frozen=True)
class Bundle:
    """A model on disk. Make one with `Bundle.open`."""

    path: Path
    info: ModelInfo

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open the folder or zip file at ``path``. Raises `ModelNotFound` or `CorruptModel`; loads no weights."""
        path = Path(path)
        if path.name == INFO_FILE:
            path = path.parent
        if not path.exists():
            raise ModelNotFound(f"{path}: no such model bundle")
        return cls(path, info_from_toml(_read(path, INFO_FILE).decode("utf-8", "replace"), str(path)))

    def has(self, name: str) -> bool:
        """Whether the bundle lists the file ``name``."""
        return name in self.info.files

    def read(self, name: str) -> bytes:
        """The bytes of one file, checked against the bundle's SHA-256."""
        if name not in self.info.files:
            raise CorruptModel(f"{self.path}: the bundle has no {name}")
        data = _read(self.path, name)
        if hashlib.sha256(data).hexdigest() != self.info.files[name]:
            raise CorruptModel(
                f"{self.path}: {name} does not have the SHA-256 that model.toml states; fetch the model again"
            )
        return data

    def verify(self) -> None:
        """Read and check every file."""
        for name in self.info.files:
            self.read(name)


def _read(path: Path, name: str) -> bytes:
    """One file of the folder or zip at ``path``, refused when it is absurdly large."""
    if name != Path(name).name:
        raise CorruptModel(f"{path}: {name!r} is not a plain file name")
    try:
        if path.is_dir():
            file = path / name
            if file.stat().st_size > MAX_FILE_BYTES:
                raise CorruptModel(f"{path}: {name} is larger than {MAX_FILE_BYTES >> 30} GiB")
            return file.read_bytes()
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(name)
            if entry.file_size > MAX_FILE_BYTES:
                raise CorruptModel(f"{path}: {name} is larger than {MAX_FILE_BYTES >> 30} GiB")
            return archive.read(entry)
    except (FileNotFoundError, KeyError) as error:
        raise CorruptModel(f"{path}: {name} is missing") from error
    except zipfile.BadZipFile as error:
        raise CorruptModel(f"{path}: neither a folder nor a zip file with {INFO_FILE}") from error
    except OSError as error:
        raise CorruptModel(f"{path}: {name} cannot be read: {error.strerror or error}") from error


def write_bundle(target: str | os.PathLike[str], info: ModelInfo, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle folder, or a zip when ``target`` ends in ``.zip``; an older one there is replaced as a whole.

    ``files`` maps the names in `KNOWN_FILES` to their bytes; their hashes replace ``info.files``.
    The bundle is built beside the target and renamed into place, so a reader never sees half of it.
    """
    target = Path(target)
    unknown = set(files) - set(KNOWN_FILES)
    if unknown:
        raise ValueError(f"not files of a bundle: {sorted(unknown)}")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    info = info.model_copy(update={"files": hashes})
    contents = {INFO_FILE: info_to_toml(info).encode(), **files}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise CannotWrite(f"{target}: {error.strerror or error}") from error
    try:
        fresh = room / "new"
        if target.suffix == ".zip":
            with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in contents.items():
                    archive.writestr(name, data)
        else:
            fresh.mkdir()
            for name, data in contents.items():
                (fresh / name).write_bytes(data)
        if target.is_dir():
            target.rename(room / "old")
        fresh.replace(target)
    except OSError as error:
        raise CannotWrite(f"{target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return Bundle.open(target)
