"""Bundles on disk: written whole or not at all, read with every byte checked."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan.errors import CannotWrite, CorruptModel, ModelNotFound
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.models import bundle as module

KINDS = pytest.mark.parametrize("name", ["tiny", "tiny.zip"])

Make = Callable[..., Bundle]
Info = Callable[..., ModelInfo]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------------------------------------------- sound ones


@KINDS
def test_what_was_written_is_read(tmp_path: Path, name: str, make_info: Info, files: dict[str, bytes]) -> None:
    made = write_bundle(tmp_path / name, make_info(description="größer"), files)
    opened = Bundle.open(tmp_path / name)

    assert opened == made
    assert opened.info.description == "größer"
    assert opened.info.files == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert {name: opened.read(name) for name in opened.info.files} == files
    opened.verify()
    assert left_in(tmp_path) == [name]


def test_the_folder_holds_the_files_and_nothing_else(
    tmp_path: Path, make_bundle: Make, files: dict[str, bytes]
) -> None:
    make_bundle(tmp_path / "tiny")

    assert left_in(tmp_path / "tiny") == sorted(["model.toml", *files])
    assert stat.S_IMODE((tmp_path / "tiny").stat().st_mode) == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_same_bundle_gives_the_same_zip(tmp_path: Path, make_bundle: Make) -> None:
    for name in ("a.zip", "b.zip"):
        make_bundle(tmp_path / name)

    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_path_to_the_toml_means_its_folder(tmp_path: Path, make_bundle: Make) -> None:
    made = make_bundle(tmp_path / "tiny")

    assert Bundle.open(tmp_path / "tiny" / "model.toml") == made
    assert Bundle.open(str(tmp_path / "tiny")) == made


def test_a_folder_that_was_zipped_with_its_name_opens(
    tmp_path: Path, make_bundle: Make, files: dict[str, bytes]
) -> None:
    make_bundle(tmp_path / "tiny")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.write(tmp_path / "tiny", "tiny")
        for file in (tmp_path / "tiny").iterdir():
            archive.write(file, f"tiny/{file.name}")

    opened = Bundle.open(tmp_path / "other.zip")

    assert opened.read("model.onnx") == files["model.onnx"]


def test_what_a_bundle_has(tmp_path: Path, make_bundle: Make) -> None:
    made = make_bundle(tmp_path / "tiny")

    assert made.has("model.onnx")
    assert not made.has("model.ncnn.bin")
    with pytest.raises(CorruptModel, match=r"tiny: the bundle has no model\.ncnn\.bin"):
        made.read("model.ncnn.bin")


def test_a_file_that_the_toml_does_not_name_is_not_read(tmp_path: Path, make_bundle: Make) -> None:
    made = make_bundle(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.ncnn.param").write_bytes(b"put here by somebody")

    with pytest.raises(CorruptModel, match="the bundle has no"):
        made.read("model.ncnn.param")


# -------------------------------------------------------------------------------------------------- damaged ones


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "none.zip", tmp_path / ("long" * 200), tmp_path / "none" / "model.toml"):
        with pytest.raises(ModelNotFound, match="no such model bundle"):
            Bundle.open(path)


def test_a_folder_without_toml(tmp_path: Path) -> None:
    with pytest.raises(CorruptModel, match=r"model\.toml is missing"):
        Bundle.open(tmp_path)


def test_a_missing_file(tmp_path: Path, make_bundle: Make) -> None:
    made = make_bundle(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.onnx").unlink()

    with pytest.raises(CorruptModel, match=r"tiny: model\.onnx is missing"):
        made.read("model.onnx")
    with pytest.raises(CorruptModel, match=r"model\.onnx is missing"):
        made.verify()


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"X" + data[1:]])
def test_a_tampered_file(tmp_path: Path, make_bundle: Make, change: Callable[[bytes], bytes]) -> None:
    made = make_bundle(tmp_path / "tiny")
    file = tmp_path / "tiny" / "weights.safetensors"
    file.write_bytes(change(file.read_bytes()))

    assert made.read("model.onnx")
    with pytest.raises(CorruptModel, match=r"weights\.safetensors does not match its SHA-256 in model\.toml"):
        made.read("weights.safetensors")


def test_a_damaged_toml(tmp_path: Path, make_bundle: Make) -> None:
    make_bundle(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.toml").write_bytes(b"\xff\xfe not text")

    with pytest.raises(CorruptModel, match=r"tiny: model\.toml is not valid"):
        Bundle.open(tmp_path / "tiny")


@pytest.mark.parametrize("trick", ["../secret", "..", "a/../../secret", "/etc/hostname", "sub/secret", "nul\\u0000"])
def test_names_that_lead_out_of_the_bundle(tmp_path: Path, make_bundle: Make, trick: str) -> None:
    (tmp_path / "secret").write_text("secret")
    make_bundle(tmp_path / "tiny")
    toml = tmp_path / "tiny" / "model.toml"
    toml.write_text(toml.read_text() + f'"{trick}" = "{"0" * 64}"\n')

    with pytest.raises(CorruptModel, match="files"):
        Bundle.open(tmp_path / "tiny")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path, make_bundle: Make) -> None:
    made = make_bundle(tmp_path / "tiny")
    (tmp_path / "tiny" / "model.onnx").unlink()
    (tmp_path / "tiny" / "model.onnx").mkdir()

    with pytest.raises(CorruptModel, match=r"model\.onnx is not a file"):
        made.read("model.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.toml")

    with pytest.raises(CorruptModel, match=r"model\.toml is not a file"):
        Bundle.open(tmp_path)


@KINDS
def test_a_toml_that_is_absurdly_large(tmp_path: Path, name: str) -> None:
    text = b"#" * (module.MAX_INFO_BYTES + 1)
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.toml", text)
    else:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.toml").write_bytes(text)

    with pytest.raises(CorruptModel, match=r"model\.toml is larger than 1 MiB"):
        Bundle.open(tmp_path / name)


@KINDS
def test_weights_that_are_absurdly_large(
    tmp_path: Path, name: str, make_bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_bundle(tmp_path / name)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 300)

    assert made.read("weights.safetensors")
    with pytest.raises(CorruptModel, match=r"model\.onnx is larger than"):
        made.read("model.onnx")


# --------------------------------------------------------------------------------------------------- broken zips


@pytest.mark.parametrize("content", [b"", b"not a zip at all", b"PK\x03\x04" + bytes(60)])
def test_not_a_zip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.zip").write_bytes(content)

    with pytest.raises(CorruptModel, match=r"bad\.zip"):
        Bundle.open(tmp_path / "bad.zip")


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("one/readme.txt", "hello")
        archive.writestr("two/model.toml", "hello")

    with pytest.raises(CorruptModel, match=r"other\.zip: model\.toml is missing"):
        Bundle.open(tmp_path / "other.zip")


def test_an_exotic_compression_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("model.toml", "name = 1")

    with pytest.raises(CorruptModel, match="DEFLATE"):
        Bundle.open(tmp_path / "bad.zip")


def test_an_encrypted_entry_is_refused(tmp_path: Path, make_bundle: Make) -> None:
    make_bundle(tmp_path / "tiny.zip")
    data = bytearray((tmp_path / "tiny.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1  # "this entry needs a password"
    (tmp_path / "tiny.zip").write_bytes(data)

    with pytest.raises(CorruptModel, match="password"):
        Bundle.open(tmp_path / "tiny.zip")


def test_any_damage_to_a_zip_is_an_error_of_ours_or_harmless(
    tmp_path: Path, make_bundle: Make, files: dict[str, bytes]
) -> None:
    make_bundle(tmp_path / "tiny.zip")
    sound = (tmp_path / "tiny.zip").read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        data = bytearray(sound)
        for place in random.integers(0, len(data), random.integers(1, 4)):
            data[place] = random.integers(256)
        if random.random() < 0.2:
            del data[random.integers(len(data)) :]
        (tmp_path / "bad.zip").write_bytes(data)
        try:
            opened = Bundle.open(tmp_path / "bad.zip")
            assert all(opened.read(name) == files[name] for name in opened.info.files)
        except CorruptModel:
            refused += 1
    assert refused > 200


# ------------------------------------------------------------------------------------------------------- writing


@KINDS
def test_an_older_bundle_is_replaced_as_a_whole(tmp_path: Path, name: str, make_info: Info) -> None:
    write_bundle(tmp_path / name, make_info(version="1.0.0"), {"model.onnx": b"old", "model.ncnn.bin": b"old"})

    write_bundle(tmp_path / name, make_info(version="2.0.0"), {"model.onnx": b"new"})

    opened = Bundle.open(tmp_path / name)
    assert (opened.info.version, opened.read("model.onnx")) == ("2.0.0", b"new")
    assert not opened.has("model.ncnn.bin")
    assert left_in(tmp_path) == [name]
    if (tmp_path / name).is_dir():
        assert left_in(tmp_path / name) == ["model.onnx", "model.toml"]


def test_missing_folders_on_the_way_are_made(tmp_path: Path, make_bundle: Make) -> None:
    assert make_bundle(tmp_path / "a" / "b" / "tiny").path == tmp_path / "a" / "b" / "tiny"


def test_an_empty_folder_may_be_the_target(tmp_path: Path, make_bundle: Make) -> None:
    (tmp_path / "tiny").mkdir()

    assert make_bundle(tmp_path / "tiny").read("model.onnx")


def test_only_files_of_a_bundle_are_written(tmp_path: Path, make_info: Info) -> None:
    with pytest.raises(ValueError, match=r"run_me\.py"):
        write_bundle(tmp_path / "tiny", make_info(), {"run_me.py": b""})
    assert left_in(tmp_path) == []


def test_a_folder_of_other_things_is_not_replaced(tmp_path: Path, make_bundle: Make) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"the only one")

    with pytest.raises(CannotWrite, match="photos: is a folder without a model bundle"):
        make_bundle(tmp_path / "photos")

    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"the only one"
    assert left_in(tmp_path) == ["photos"]


def test_a_file_in_the_way(tmp_path: Path, make_bundle: Make) -> None:
    (tmp_path / "tiny").write_text("a file")
    with pytest.raises(CannotWrite, match="tiny: "):
        make_bundle(tmp_path / "tiny")
    with pytest.raises(CannotWrite, match="inside: "):
        make_bundle(tmp_path / "tiny" / "inside")

    assert (tmp_path / "tiny").read_text() == "a file"
    assert left_in(tmp_path) == ["tiny"]


def fail(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("tiny", "os.fsync"),
        ("tiny", "tempfile.mkdtemp"),
        ("tiny.zip", "os.fsync"),
        ("tiny.zip", "tempfile.mkdtemp"),
        ("tiny.zip", "zipfile.ZipFile.writestr"),
    ],
)
def test_a_full_disk_leaves_the_old_bundle(
    tmp_path: Path, name: str, call: str, make_info: Info, make_bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / name)
    with monkeypatch.context() as patch:
        patch.setattr(call, fail)
        with pytest.raises(CannotWrite, match="No space left on device"):
            write_bundle(tmp_path / name, make_info(version="2.0.0"), {"model.onnx": b"new"})

    opened = Bundle.open(tmp_path / name)
    opened.verify()
    assert opened.info.version == "1.0.0"
    assert left_in(tmp_path) == [name]


@KINDS
def test_a_rename_that_fails_leaves_the_old_bundle(
    tmp_path: Path, name: str, make_info: Info, make_bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / name)
    rename, replace = Path.rename, Path.replace
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda p, to: fail() if p.name == "new" else rename(p, to))
        patch.setattr(Path, "replace", lambda p, to: fail() if p.name == "new" else replace(p, to))
        with pytest.raises(CannotWrite):
            write_bundle(tmp_path / name, make_info(version="2.0.0"), {"model.onnx": b"new"})

    Bundle.open(tmp_path / name).verify()
    assert Bundle.open(tmp_path / name).info.version == "1.0.0"
    assert left_in(tmp_path) == [name]


def test_the_only_copy_is_never_thrown_away(
    tmp_path: Path, make_info: Info, make_bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "tiny")
    rename = Path.rename
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda p, to: rename(p, to) if p.name == "tiny" else fail())
        with pytest.raises(CannotWrite):
            write_bundle(tmp_path / "tiny", make_info(), {"model.onnx": b"new"})

    (room,) = tmp_path.iterdir()
    Bundle.open(room / "old").verify()


@KINDS
def test_what_does_not_read_back_is_not_kept(
    tmp_path: Path, name: str, make_info: Info, make_bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / name)
    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "read", lambda *_: (_ for _ in ()).throw(CorruptModel("another SHA-256")))
        with pytest.raises(CannotWrite, match="could not be read back: another SHA-256"):
            write_bundle(tmp_path / name, make_info(version="2.0.0"), {"model.onnx": b"new"})

    assert Bundle.open(tmp_path / name).info.version == "1.0.0"
    assert left_in(tmp_path) == [name]


def test_a_reader_never_sees_half_a_bundle(
    tmp_path: Path, make_info: Info, make_bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "tiny")
    seen = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        seen.append(Bundle.open(tmp_path / "tiny").info.version)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write_bundle(tmp_path / "tiny", make_info(version="2.0.0"), {"model.onnx": b"new", "model.ncnn.bin": b"new"})

    assert seen == ["1.0.0"] * 3
    assert Bundle.open(tmp_path / "tiny").info.version == "2.0.0"
