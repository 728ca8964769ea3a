"""The fuzz target itself: its pictures are sound, its damage repeats, and it sees what it looks for."""

from __future__ import annotations

import faulthandler  # noqa: F401 (it and os are for the code that breaks)
import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from srgan.imaging import read_picture

FUZZ = Path(__file__).parents[2] / "fuzz" / "readers.py"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


@pytest.fixture(scope="module")
def readers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_readers", FUZZ)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_its_pictures_are_sound_and_small(readers: ModuleType) -> None:
    sound = readers.seeds()
    assert len(sound) > 50
    sizes = sorted(map(len, sound))
    assert sizes[-2] < 10_000
    assert sizes[-1] < 160_000  # extended XMP begins where a segment of JPEG ends
    formats = {read_picture(data).format for data in sound}
    assert formats >= {"PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "PFM", "AVIF"}


def test_damage_repeats_and_differs(readers: ModuleType) -> None:
    sound = readers.seeds()
    made = [readers.damaged(sound, 1, number) for number in range(200)]
    assert made == [readers.damaged(sound, 1, number) for number in range(200)]
    assert len(set(made)) > 190
    assert made != [readers.damaged(sound, 2, number) for number in range(200)]
    assert len(set(made) & set(sound)) < 20


def test_png_keeps_its_check_sums(readers: ModuleType) -> None:
    png = readers.seeds()[0]
    broken = bytearray(png)
    broken[-20] ^= 1  # inside the last data
    broken[33:37] = b"\0\0\0\xff"  # a length beyond the end stops it
    assert readers._sealed(png) == png
    assert len(readers._sealed(bytes(broken))) == len(png)
    assert readers._sealed(png[:29] + bytes(4) + png[33:]) == png


@pytest.mark.slow
def test_a_short_run_finds_nothing(readers: ModuleType) -> None:
    sound = readers.seeds()
    for number in range(400):
        readers.attempt(readers.damaged(sound, 3, number))


def found(readers: ModuleType, folder: Path, broken: str) -> list[Path]:
    """What a search finds when its third input does what ``broken`` says."""
    wanted = readers.damaged(readers.seeds(), 5, 2)

    def check(data: bytes) -> None:
        if data == wanted:
            exec(broken)

    for seconds in (0.2, 2, 20):  # on a busy machine the third input may come late
        if readers.search(5, seconds, folder, check)[0] > 2:
            break
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    "broken",
    ["raise ValueError", "faulthandler.disable(), os.abort()", "while True: pass", "raise KeyboardInterrupt"],
)
def test_what_breaks_the_rules_is_kept(
    readers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(readers, "MOST_SECONDS", 0.3)
    (path,) = found(readers, tmp_path / "found", broken)
    assert path.name == "5-2"
    assert path.read_bytes() == readers.damaged(readers.seeds(), 5, 2)


def test_nothing_is_kept_of_what_is_allowed(readers: ModuleType, tmp_path: Path) -> None:
    assert found(readers, tmp_path / "found", "pass") == []


def test_memory_is_watched(readers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MOST_BYTES", 1 << 24)
    with pytest.raises(AssertionError, match="more memory"):
        readers.attempt(b"", lambda data: b"x" * (1 << 30) and None)
