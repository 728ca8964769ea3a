"""`open_input`: opened and sniffed once, and whatever is asked for, in whatever order, the answers are the same."""

from __future__ import annotations

import io
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

import srgan
from srgan.errors import InvalidImage, LimitExceeded
from srgan.imaging import (
    Input,
    Limits,
    count_frames,
    open_animation,
    open_input,
    open_scan,
    opening,
    probe_picture,
    read_picture,
)
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler
from srgan.upscaler.files import Saving, enlarge_bytes


def noise(height: int, width: int, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def still(format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(70, 60)).save(buffer, format)
    return buffer.getvalue()


def moving(format: str) -> bytes:
    """More than is buffered of a file at a time."""
    first, *others = (Image.fromarray(noise(70, 60, seed)) for seed in range(4))
    buffer = io.BytesIO()
    first.save(buffer, format, save_all=True, append_images=others, duration=50)
    return buffer.getvalue()


def document() -> bytes:
    """Pages that libvips decodes, and whose directories Python reads."""
    first, *others = (Image.fromarray(noise(70, 60 + seed, seed)) for seed in range(4))
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others, compression="jpeg")
    return buffer.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: still("PNG"),
    "JPEG": lambda: still("JPEG"),
    "WEBP": lambda: still("WEBP"),
    "BMP": lambda: still("BMP"),
    "PPM": lambda: still("PPM"),
    "AVIF": lambda: still("AVIF"),
    "a moving PNG": lambda: moving("PNG"),
    "a moving GIF": lambda: moving("GIF"),
    "a moving WEBP": lambda: moving("WEBP"),
    "pages": document,
}


def answers(file: Input, question: str) -> Any:
    if question == "scans":
        return [np.concatenate(list(scan.strips)).tobytes() for scan in file.scans()]
    if question == "picture":
        return file.picture().pixels.tobytes()
    if question == "animation":
        if file.frames == 1:
            return None
        return [frame.picture.pixels.tobytes() for frame in file.animation().frames]
    return getattr(file, question)


QUESTIONS = ("header", "headers", "count", "scans", "picture", "animation")


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("whole", [True, False])
def test_answers_do_not_depend_on_the_order_of_questions(
    kind: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvips moves in a file that Python has buffered: what was asked before must not show."""
    if not whole:
        monkeypatch.setattr("srgan.imaging.decoders.pillow._WHOLE_PIXELS", 0)
    path = tmp_path / "a"
    path.write_bytes(FILES[kind]())
    expected = {}
    for question in QUESTIONS:
        with open_input(path.read_bytes()) as file:
            expected[question] = answers(file, question)
    assert expected["count"] == (4 if " " in kind or kind == "pages" else 1)

    for first, second, third in itertools.permutations(QUESTIONS, 3):
        with open_input(path) as file:
            for question in (first, second, third, first):
                assert answers(file, question) == expected[question], (first, second, third, question)


def test_what_is_buffered_of_a_file_is_forgotten(tmp_path: Path) -> None:
    data = still("PNG")
    (tmp_path / "a").write_bytes(data)
    with open_input(tmp_path / "a") as file:
        stream = file._at_start()
        stream.read(10)
        os.lseek(stream.fileno(), 5000, os.SEEK_SET)  # as libvips does
        assert file._at_start().read() == data


@pytest.mark.parametrize("kind", FILES)
def test_the_thin_forms_say_what_an_input_says(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(FILES[kind]())
    with open_input(path) as file:
        assert (file.name, file.path, file.format) == (str(path), path, probe_picture(path).format)
        assert file.header == probe_picture(path)
        assert file.frames == count_frames(path)
        np.testing.assert_array_equal(file.picture().pixels, read_picture(path).pixels)
        with open_scan(path) as scan:
            np.testing.assert_array_equal(np.concatenate(list(scan.strips)), file.picture().pixels)
        if file.frames > 1:
            with open_animation(path) as animation:
                assert (animation.count, animation.size) == (file.frames, file.animation().size)


def test_pages_are_upright_and_the_header_is_as_stored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(noise(20, 30)).save(buffer, "JPEG", exif=exif)

    with open_input(buffer.getvalue()) as file:
        assert (file.header.width, file.header.height) == (30, 20)
        assert [(header.width, header.height) for header in file.headers] == [(20, 30)]


# ------------------------------------------------------------------------------------------------------ once


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_opened_and_sniffed_once_to_be_enlarged(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(FILES[kind]())
    done: list[object] = []
    opened, sniff = opening.opened, opening.sniff
    monkeypatch.setattr(opening, "opened", lambda source, *more: [opened(source, *more), done.append(source)][0])
    monkeypatch.setattr(opening, "sniff", lambda head: [sniff(head), done.append("sniffed")][0])

    enlarge_bytes(Upscaler(NearestSession(2)), source, saving=Saving(format="tif" if kind == "pages" else "png"))

    assert done[:2] == [source, "sniffed"]
    assert source not in done[2:]  # what was written is looked at, too


class Pipe(io.RawIOBase):
    """Cannot be rewound, and tells how often it was read to its end."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)
        self.ends = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._inner.read(size)
        self.ends += not piece
        return piece


@pytest.mark.parametrize("kind", FILES)
def test_a_pipe_is_read_once_and_answers_as_a_file_does(kind: str) -> None:
    data = FILES[kind]()
    pipe: Any = Pipe(data)

    with open_input(pipe) as file, open_input(data) as same:
        for question in (*QUESTIONS, *QUESTIONS):
            assert answers(file, question) == answers(same, question)

    assert pipe.ends == 1


def test_a_pipe_with_a_name_is_enlarged_beside_itself(tmp_path: Path) -> None:
    """Its size decides the name of the result: who opened it again for that waited for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(still("PNG")), daemon=True).start()
    made: list[Path] = []
    reader = threading.Thread(target=lambda: made.append(srgan.upscale(pipe, Upscaler(NearestSession(2)))), daemon=True)
    reader.start()
    reader.join(20)

    assert made == [tmp_path / "pipe_x2.png"]


def test_a_warning_is_kept_for_whoever_reads_the_pixels(caplog: pytest.LogCaptureFixture) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 6), 99).save(buffer, "PNG", icc_profile=b"junk" * 40, exif=exif)
    for question in ("header", "headers", "count"):
        caplog.clear()
        with open_input(buffer.getvalue()) as file:
            answers(file, question)
            assert caplog.text == ""
            file.picture()
            file.picture()
        assert caplog.text.count("the colour profile is damaged") == 1, question


def test_a_warning_is_given_once_however_often_the_pixels_are_read(caplog: pytest.LogCaptureFixture) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, np.zeros((4, 4, 5), np.uint8), photometric="rgb", extrasamples=(0, 0), planarconfig="contig"
    )

    for question in (*QUESTIONS[:3], "picture"):
        caplog.clear()
        with open_input(buffer.getvalue()) as file:
            answers(file, question)
            assert bool(caplog.text) == (question == "picture")
            for again in ("picture", "scans", "picture"):
                answers(file, again)
        assert [record.getMessage() for record in caplog.records] == [
            "the input: channels that are neither colour nor alpha are left out."
        ], question


# ------------------------------------------------------------------------------------------------- given through


def test_an_open_input_is_given_through_with_its_own_limits_and_stays_open() -> None:
    with open_input(still("PNG"), limits=Limits(max_pixels=70 * 60)) as file:
        with open_input(file, limits=Limits(max_pixels=1)) as same:
            assert same is file
        data, made = enlarge_bytes(Upscaler(NearestSession(2)), file, limits=Limits(max_pixels=1))
        assert made.size == (140, 120)
        assert enlarge_bytes(Upscaler(NearestSession(2)), file)[0] == data


# ------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello, world", r"not a picture that can be read \(PNG, "),
        (b"%PDF-1.7", "not a picture that can be read: PDF; save it as PNG, TIFF or JPEG"),
    ],
)
def test_what_is_no_picture_is_refused_when_it_is_opened(data: bytes, words: str) -> None:
    for ask in (open_input, open_scan, open_animation):
        with pytest.raises(InvalidImage, match=f"^the input: {words}"), ask(data):
            pass
    for look in (probe_picture, read_picture, count_frames):
        with pytest.raises(InvalidImage, match=words):
            look(data)


@pytest.mark.parametrize("kind", FILES)
def test_limits_hold_whatever_is_asked_for(kind: str) -> None:
    data = FILES[kind]()
    with (
        pytest.raises(LimitExceeded, match="larger than the limit of 99 bytes"),
        open_input(data, limits=Limits(max_bytes=99)),
    ):
        pass
    for question in ("header", "headers", "scans", "picture", "animation"):
        with open_input(data, limits=Limits(max_side=10)) as file:
            if question == "animation" and file.frames == 1:
                continue
            with pytest.raises(LimitExceeded, match="the limit is 10 per side"):
                answers(file, question)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_cut_short_names_itself_whatever_is_asked_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(FILES[kind]()[:40])
    for question in ("headers", "scans", "picture"):
        with open_input(path) as file, pytest.raises(InvalidImage) as caught:
            answers(file, question)
        assert str(caught.value).startswith(f"{path}: "), question
