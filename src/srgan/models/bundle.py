"""The model bundle: a folder, or the same folder zipped, with `model.toml` and the weights in one or more forms.

    model.toml            what the model is (`ModelInfo`), with the SHA-256 of every other file
    model.ncnn.param      } the form for CPUs and Vulkan devices
    model.ncnn.bin        }
    model.onnx            the portable form
    weights.safetensors   the trainable form

A latent model (`ModelInfo.latent`) has three networks, its parts: the `generator` makes codes of noise, the `decoder`
pictures of codes, the `encoder` codes of pictures. Each has files of its own, `decoder.onnx` in place of `model.onnx`,
but for the weights, which are in one file under the roles of the parts: `netG2.head.bias`. `Bundle.part` gives one of
them as a bundle under the usual names.

It is the only contract between training, conversion, evaluation and inference.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from srgan.atomic import put_folder
from srgan.errors import CannotWrite, CorruptModel, ModelNotFound, UnsupportedModel
from srgan.models.info import ModelInfo, PartInfo, info_from_toml, info_to_toml

INFO_FILE = "model.toml"
NCNN_PARAM = "model.ncnn.param"
NCNN_BIN = "model.ncnn.bin"
ONNX = "model.onnx"
SAFETENSORS = "weights.safetensors"
KNOWN_FILES = (NCNN_PARAM, NCNN_BIN, ONNX, SAFETENSORS)
"""The files of a model of one network."""
PARTS = {"generator": "netG1", "decoder": "netG2", "encoder": "netRS"}
"""The parts of a latent model with their roles (`srgan.networks.latent` explains them)."""
LATEST = "latest"
"""In a folder of versions, the name of the one that counts: see `srgan.models.versions`."""
VERSION = re.compile(r"[0-9]{8}-[0-9]{6}")
MAX_FILE_BYTES = 2 << 30
MAX_INFO_BYTES = 1 << 20

_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The same files give the same zip."""


def part_file(part: str, name: str) -> str:
    """The file in which ``part`` has what a model of one network has in ``name``; weights are shared."""
    return f"{part}{name.removeprefix('model')}" if name.startswith("model.") else name


def known_files(info: ModelInfo) -> tuple[str, ...]:
    """The names of all files that a bundle of this kind may have beside `model.toml`."""
    if info.latent is None:
        return KNOWN_FILES
    return tuple(dict.fromkeys(part_file(part, name) for name in KNOWN_FILES for part in PARTS))


@dataclass(frozen=True)
class Bundle:
    """A model on disk. Make one with `Bundle.open`."""

    path: Path
    info: ModelInfo

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open the folder or zip file at ``path``, or the folder of the `model.toml` at ``path``; loads no weights.

        A folder of versions stands for its latest one.

        Raises `ModelNotFound` if there is no such path, `CorruptModel` if there is no valid `model.toml`.
        """
        path = Path(path)
        if path.name == INFO_FILE:
            path = path.parent
        if not os.path.exists(path):  # Path.exists raises for names that the system finds too long
            raise ModelNotFound(f"{path}: no such model bundle")
        if (path / LATEST).is_file():
            path = latest_of(path)
        text = _read(path, INFO_FILE, MAX_INFO_BYTES).decode("utf-8", "replace")
        return cls(path, info_from_toml(text, str(path)))

    def file(self, name: str) -> str:
        """The file that holds what is asked for as ``name``: this very one, but in a part."""
        return name

    def has(self, name: str) -> bool:
        """Whether the bundle lists the file ``name``."""
        return self.file(name) in self.info.files

    def read(self, name: str) -> bytes:
        """The bytes of one file, checked against the bundle's SHA-256. Raises `CorruptModel`."""
        name = self.file(name)
        if name not in self.info.files:
            raise CorruptModel(f"{self.path}: the bundle has no {name}")
        data = _read(self.path, name, MAX_FILE_BYTES)
        if hashlib.sha256(data).hexdigest() != self.info.files[name]:
            raise CorruptModel(
                f"{self.path}: {name} does not match its SHA-256 in {INFO_FILE}; download the model again"
            )
        return data

    def verify(self) -> None:
        """Read and check every file. Raises `CorruptModel`."""
        for name in self.info.files:
            self.read(name)

    def part(self, name: str) -> Part:
        """The part ``name`` (see `PARTS`) of a latent model. Raises `UnsupportedModel` for a model that is none."""
        latent = self.info.latent
        if latent is None:
            raise UnsupportedModel(
                f"{self.info.name} enlarges pictures and makes none from noise; "
                f"use it with: srgan upscale IN OUT --model {self.info.name}"
            )
        role, step = PARTS[name], latent.reduction
        fields = {
            "network": role,
            "network_options": self.info.network_options.get(role, {}),
            "part": name,
            "channels": {"generator": latent.noise, "decoder": latent.code[0], "encoder": 3}[name],
            "multiple": step if name == "encoder" else 1,
            "minimum": step if name == "encoder" else 1,
            "radius": 0,
        }
        return Part(self.path, PartInfo.model_construct(**{**dict(self.info), **fields}))


@dataclass(frozen=True)
class Part(Bundle):
    """One network of a latent model, under the file names of a model of one network. Made by `Bundle.part`."""

    info: PartInfo

    def file(self, name: str) -> str:
        return part_file(self.info.part, name)


# ---------------------------------------------------------------------------------------------------- reading


def latest_of(folder: Path) -> Path:
    """The latest version in a folder of versions. Raises `CorruptModel`."""
    try:
        name = (folder / LATEST).read_text("ascii", "replace").strip()
    except OSError as error:
        raise CorruptModel(f"{folder / LATEST}: cannot be read: {error.strerror or error}") from error
    if not VERSION.fullmatch(name):
        raise CorruptModel(f"{folder / LATEST}: must name a version, such as 20261128-210501")
    return folder / name


def _read(path: Path, name: str, limit: int) -> bytes:
    """One file of the folder or zip at ``path``; refused when it is larger than ``limit`` bytes.

    ``name`` is a plain file name: `ModelInfo` admits no other, so nothing outside the bundle is ever opened.
    """
    try:
        if path.is_dir():
            return _read_from_folder(path, name, limit)
        with zipfile.ZipFile(path) as archive:
            return _read_from_zip(archive, path, name, limit)
    except (FileNotFoundError, KeyError) as error:
        raise CorruptModel(f"{path}: {name} is missing") from error
    except OSError as error:
        raise CorruptModel(f"{path}: {name} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        # What zipfile raises on damaged bytes, and on archives that need a password.
        raise CorruptModel(f"{path}: not a valid folder or zip file with {name}: {error}") from error


def _read_from_folder(path: Path, name: str, limit: int) -> bytes:
    file = path / name
    if file.exists() and not file.is_file():
        raise CorruptModel(f"{path}: {name} is not a file")
    if file.stat().st_size > limit:
        raise CorruptModel(f"{path}: {name} is larger than {limit >> 20:,} MiB")
    return file.read_bytes()


def _read_from_zip(archive: zipfile.ZipFile, path: Path, name: str, limit: int) -> bytes:
    """The entry ``name`` at the top, or inside the one folder that was zipped with its name."""
    names = set(archive.namelist())
    tops = {entry.partition("/")[0] for entry in names}
    folder = "" if INFO_FILE in names or len(tops) != 1 else f"{tops.pop()}/"
    entry = archive.getinfo(folder + name)
    if entry.file_size > limit:
        raise CorruptModel(f"{path}: {name} is larger than {limit >> 20:,} MiB")
    if entry.compress_type not in _ZIP_METHODS:
        raise CorruptModel(f"{path}: {name} is compressed in another way than by DEFLATE")
    return archive.read(entry)


# ---------------------------------------------------------------------------------------------------- writing


def write_bundle(target: str | os.PathLike[str], info: ModelInfo, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle folder, or a zip when ``target`` ends in ``.zip``; an older bundle there is replaced as a whole.

    ``files`` maps names (see `known_files`) to bytes; their hashes replace ``info.files``.
    The bundle is built beside the target, read back, and renamed into place, so that a reader never sees half of it.
    Raises `CannotWrite`, with the older bundle still in its place; it also refuses to replace a folder of other things.
    """
    target = Path(target)
    unknown = set(files) - set(known_files(info))
    if unknown:
        raise ValueError(f"not files of a bundle: {sorted(unknown)}")
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    info = info.model_copy(update={"files": hashes})
    contents = {INFO_FILE: info_to_toml(info).encode(), **files}
    try:
        if target.is_dir() and any(target.iterdir()) and not (target / INFO_FILE).is_file():
            raise CannotWrite(f"{target}: is a folder without a model bundle and will not be replaced")
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise CannotWrite(f"{target}: {error.strerror or error}") from error
    fresh, old = room / "new", room / "old"
    try:
        if target.suffix == ".zip":
            _write_zip(fresh, contents)
        else:
            fresh.mkdir()
            for name, data in contents.items():
                _write_file(fresh / name, data)
        Bundle.open(fresh).verify()
        put_folder(fresh, target, old)
    except OSError as error:
        raise CannotWrite(f"{target}: {error.strerror or error}") from error
    except CorruptModel as error:
        raise CannotWrite(f"{target}: what was written could not be read back: {error}") from error
    finally:
        if target.exists() or not old.exists():  # never throw away the only copy there is
            shutil.rmtree(room, ignore_errors=True)
    return Bundle.open(target)


def _write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in contents.items():
                archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data, zipfile.ZIP_DEFLATED)
        file.flush()
        os.fsync(file.fileno())


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
