"""Bad input: one line that names it, the right exit code, nothing half-written, and the original as it was."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from PIL import Image

BICUBIC = ("--model", "bicubic")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(done: subprocess.CompletedProcess[bytes], code: int, named: object) -> str:
    """The command failed with ``code`` and one line that names what is wrong; returns the line."""
    error = done.stderr.decode()
    assert done.returncode == code, error
    assert done.stdout == b""
    assert error.startswith("srgan: error: ")
    assert error.count("\n") == 1
    assert str(named) in error
    return error


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A sound PNG of a few hundred bytes that announces 3.6 gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


CONTENTS = {
    "empty": b"",
    "text renamed to png": b"This is no picture.\n" * 50,
    "zip renamed to png": b"PK\x03\x04" + b"\0" * 100,
    "PNG signature alone": b"\x89PNG\r\n\x1a\n",
    "JPEG signature alone": b"\xff\xd8\xff\xe0",
    "noise": bytes(range(256)) * 20,
    "TIFF whose directory is cut off": b"II*\0\x08\0\0\0\x05\0\0\x01",
}


@pytest.mark.parametrize("what", CONTENTS)
def test_a_file_that_is_no_picture_is_refused(what: str, srgan, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(CONTENTS[what])
    before = tree(tmp_path)
    assert_refused(srgan("upscale", "bad.png", "out.png", *BICUBIC), 3, "bad.png")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("keep", [0.3, 0.9])
@pytest.mark.parametrize("name", ["astronaut.png", "photo.jpg"])
def test_a_truncated_picture_is_refused(name: str, keep: float, srgan, examples: Path, tmp_path: Path) -> None:
    whole = tmp_path / name
    if name.endswith(".jpg"):
        from PIL import Image

        with Image.open(examples / "astronaut.png") as picture:
            picture.convert("RGB").save(whole, quality=90)
    else:
        whole.write_bytes((examples / name).read_bytes())
    data = whole.read_bytes()
    whole.write_bytes(data[: int(len(data) * keep)])
    before = tree(tmp_path)
    assert_refused(srgan("upscale", name, "out.png", *BICUBIC), 3, name)
    assert tree(tmp_path) == before


def test_a_picture_with_the_wrong_suffix_is_read_by_its_content(srgan, picture: Path, tmp_path: Path) -> None:
    picture.rename(tmp_path / "really-a-png.jpg")
    done = srgan("upscale", "really-a-png.jpg", "out.png", *BICUBIC)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_missing_file_is_refused(srgan, tmp_path: Path) -> None:
    assert_refused(srgan("upscale", "nothing.png", "out.png", *BICUBIC), 3, "nothing.png: no such file")
    assert tree(tmp_path) == {}


def test_a_folder_is_refused(srgan, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert_refused(srgan("upscale", "folder", "out.png", *BICUBIC), 3, "folder: is a folder")


def test_a_decompression_bomb_is_refused_before_it_is_decoded(srgan, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb())
    error = assert_refused(srgan("upscale", "bomb.png", "out.png", *BICUBIC), 3, "bomb.png")
    assert "60000 x 60000" in error
    assert not (tmp_path / "out.png").exists()


def test_the_limits_are_settings(srgan, picture: Path) -> None:
    command = ("upscale", picture, "out.png", *BICUBIC)
    assert_refused(srgan(*command, "--set", "limits.max_pixels=95"), 3, picture)
    assert_refused(srgan(*command, env={"SRGAN_LIMITS__MAX_BYTES": "100"}), 3, picture)
    assert srgan(*command, "--set", "limits.max_pixels=96").returncode == 0


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_bad_standard_input_is_refused(data: bytes, srgan, tmp_path: Path) -> None:
    assert_refused(srgan("upscale", "-", "-", *BICUBIC, stdin=data), 3, "<stdin>")


def test_an_unknown_model_is_refused(srgan, picture: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    assert_refused(srgan("upscale", picture, "out.png", "--model", "none-such"), 4, "none-such")
    assert_refused(srgan("upscale", picture, "out.png", "--model", "./none/such"), 4, "none/such")
    assert tree(tmp_path) == before


def test_a_device_that_is_not_there_is_refused(srgan, picture: Path, tmp_path: Path) -> None:
    assert_refused(srgan("upscale", picture, "out.png", *BICUBIC, "--device", "cuda:7"), 5, "cuda:7")
    assert not (tmp_path / "out.png").exists()


# ------------------------------------------------------------------------------------------------- targets


def test_a_target_that_exists_is_kept_without_overwrite(srgan, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"precious")
    error = assert_refused(srgan("upscale", picture, "out.png", *BICUBIC), 7, "out.png")
    assert "--overwrite" in error
    assert (tmp_path / "out.png").read_bytes() == b"precious"
    assert srgan("upscale", picture, "out.png", *BICUBIC, "--overwrite").returncode == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("way", ["same name", "other spelling", "symbolic link", "hard link"])
def test_the_input_is_never_the_output_even_with_overwrite(way: str, srgan, picture: Path, tmp_path: Path) -> None:
    target = {"same name": "small.png", "other spelling": f"../{tmp_path.name}/./small.png"}.get(way, "link.png")
    if way == "symbolic link":
        (tmp_path / target).symlink_to(picture)
    elif way == "hard link":
        os.link(picture, tmp_path / target)
    before = tree(tmp_path)
    assert_refused(srgan("upscale", "small.png", target, *BICUBIC, "--overwrite"), 7, "is also the input")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("file/out.png", "file/out.png"),
        ("no/such/folder/out.png", "no/such/folder"),
        ("/proc/out.png", "/proc/out.png"),
        ("folder.png", "folder.png: is a folder"),
    ],
)
def test_an_unwritable_target_is_refused(target: str, named: str, srgan, picture: Path, tmp_path: Path) -> None:
    if target.startswith("/proc") and not os.path.isdir("/proc/self"):
        pytest.skip("no /proc here")
    (tmp_path / "file").write_bytes(b"a file")
    (tmp_path / "folder.png").mkdir()
    before = tree(tmp_path)
    assert_refused(srgan("upscale", picture, target, *BICUBIC), 7, named)
    assert tree(tmp_path) == before


def test_a_full_disk_leaves_the_older_output_as_it_was(command: str, picture: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"precious")
    before = tree(tmp_path)
    # No file of this process may grow beyond a kilobyte: to it, the disk is full.
    limited = ["bash", "-c", 'trap "" XFSZ; ulimit -f 1; exec "$@"', "srgan", command]
    done = subprocess.run(
        [*limited, "upscale", picture, target, *BICUBIC, "--scale", "16", "--overwrite"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert_refused(done, 7, target)
    assert tree(tmp_path) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_an_error(command: str, picture: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [command, "upscale", picture, "-", *BICUBIC], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 7
    assert done.stderr.startswith(b"srgan: error: standard output: No space left on device")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("target", "options"), [("out.xyz", []), ("out", []), ("out.png", ["--format", "docx"])])
def test_a_format_that_cannot_be_written_is_refused_before_the_work(
    target: str, options: list[str], srgan, picture: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    done = srgan("upscale", picture, target, *BICUBIC, *options)
    assert_refused(done, 2, options[-1] if options else target)
    assert tree(tmp_path) == before


def test_a_size_that_the_format_cannot_hold_is_refused_before_the_work(srgan, picture: Path, tmp_path: Path) -> None:
    error = assert_refused(srgan("upscale", picture, "out.webp", *BICUBIC, "--width", "20000"), 3, "WEBP")
    assert "16,383" in error
    assert not (tmp_path / "out.webp").exists()


def test_damaged_metadata_of_a_sound_picture_is_not_talked_about(srgan, tmp_path: Path) -> None:
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x05\0" + bytes(30)
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg", exif=damaged)

    done = srgan("upscale", "photo.jpg", "large.png", *BICUBIC)

    assert done.returncode == 0
    assert b"Warning" not in done.stderr
    assert (tmp_path / "large.png").exists()
