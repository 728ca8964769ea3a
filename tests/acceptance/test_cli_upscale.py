"""`srgan upscale` as people and scripts run it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BICUBIC = ("--model", "bicubic")


def test_a_picture_becomes_four_times_larger_and_one_line_says_so(srgan, picture: Path, tmp_path: Path) -> None:
    done = srgan("upscale", picture, "large.png", *BICUBIC)
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.fullmatch(rb"large.png: 12x8 -> 48x32, bicubic on resize/cpu, \d+\.\d\d s\n", done.stdout)
    with Image.open(tmp_path / "large.png") as large:
        assert large.size == (48, 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.png", "small.png"]


def test_the_shipped_default_model_runs(srgan, examples: Path, tmp_path: Path) -> None:
    from srgan.models import list_models

    if not any(bundle.info.family == "fast" for bundle in list_models()):
        pytest.skip("this checkout ships no model fast")
    done = srgan("upscale", examples / "wolf.png", "large.png", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["backend"] == "ncnn"
    with Image.open(tmp_path / "large.png") as large, Image.open(examples / "wolf.png") as small:
        assert large.size == (small.width * 4, small.height * 4)
        back = large.convert("RGB").resize(small.size, Image.Resampling.BOX)
        assert np.abs(np.asarray(back, float) - np.asarray(small.convert("RGB"), float)).mean() < 12, "the same picture"


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["--scale", "2"], (24, 16)),
        (["--scale", "2.5"], (30, 20)),
        (["--scale", "0.5"], (6, 4)),
        (["--width", "60"], (60, 40)),
        (["--height", "60"], (90, 60)),
        (["--width", "50", "--height", "50"], (50, 50)),
        (["--long-side", "100"], (100, 67)),
        (["--width", "30", "--set", "upscale.scale=2"], (30, 20)),
    ],
)
def test_any_size_can_be_asked_for(
    options: list[str], size: tuple[int, int], srgan, picture: Path, tmp_path: Path
) -> None:
    done = srgan("upscale", picture, "out.png", *BICUBIC, *options)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out.png") as out:
        assert out.size == size


@pytest.mark.parametrize(
    "options",
    [["--scale", "2", "--width", "9"], ["--long-side", "9", "--height", "9"], ["--scale", "0"], ["--width", "0"]],
)
def test_sizes_that_contradict_each_other_or_make_no_sense_are_refused(
    options: list[str], srgan, picture: Path, tmp_path: Path
) -> None:
    done = srgan("upscale", picture, "out.png", *BICUBIC, *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("name", "options", "format"),
    [
        ("out.jpg", [], "JPEG"),
        ("out.webp", [], "WEBP"),
        ("out.png", ["--format", "jpg"], "JPEG"),
        ("out", ["-f", "tiff"], "TIFF"),
    ],
)
def test_the_suffix_says_the_format_and_the_option_overrules_it(
    name: str, options: list[str], format: str, srgan, picture: Path, tmp_path: Path
) -> None:
    assert srgan("upscale", picture, name, *BICUBIC, *options).returncode == 0
    with Image.open(tmp_path / name) as out:
        assert out.format == format


def test_quality_changes_the_size_of_the_file(srgan, picture: Path, tmp_path: Path) -> None:
    for quality in ("10", "95"):
        options = ("--quality", quality, "--no-provenance")
        assert srgan("upscale", picture, f"{quality}.jpg", *BICUBIC, *options).returncode == 0
    assert (tmp_path / "10.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size / 2


def test_json_is_the_only_thing_on_standard_output(srgan, picture: Path, tmp_path: Path) -> None:
    done = srgan("upscale", picture, "out.png", *BICUBIC, "--json")
    report = json.loads(done.stdout)
    assert report["input"] == {"path": str(picture), "width": 12, "height": 8, "format": "PNG"}
    assert report["output"] == {
        "path": "out.png", "width": 48, "height": 32, "format": "PNG", "bytes": (tmp_path / "out.png").stat().st_size,
    }  # fmt: skip
    assert (report["model"], report["backend"], report["device"]) == ("bicubic", "resize", "cpu")
    assert 0 < report["seconds"] < 60


def test_quiet_leaves_the_result_and_nothing_else(srgan, picture: Path) -> None:
    done = srgan("upscale", "-", "-", *BICUBIC, "-q", stdin=picture.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"\x89PNG")


@pytest.mark.skipif(os.name == "nt", reason="such names are no names on Windows")
@pytest.mark.parametrize(
    "name", ["gr\u00f6\u00dfe \U0001f43a.png", "[red].png", "new\nline.png", "not\udcffunicode.png"]
)
def test_any_name_that_the_system_allows_can_be_given(name: str, srgan, picture: Path, tmp_path: Path) -> None:
    picture.rename(tmp_path / name)
    done = srgan("upscale", name, f"large {name}", *BICUBIC, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["output"]["path"] == f"large {name}"
    assert (tmp_path / f"large {name}").is_file()


# ------------------------------------------------------------------------------------------------- streams


def test_a_dash_reads_standard_input_and_writes_standard_output(srgan, picture: Path, tmp_path: Path) -> None:
    done = srgan("upscale", "-", "-", *BICUBIC, stdin=picture.read_bytes())
    assert done.returncode == 0
    with Image.open(io.BytesIO(done.stdout)) as out:
        assert (out.size, out.format) == ((48, 32), "PNG")
    assert done.stderr.startswith(b"standard output: 12x8 -> 48x32, bicubic"), "the talk goes to standard error"
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]


def test_standard_output_has_the_format_of_the_input_or_the_one_asked_for(srgan, picture: Path) -> None:
    jpeg = io.BytesIO()
    with Image.open(picture) as small:
        small.save(jpeg, "JPEG")
    assert srgan("upscale", "-", "-", *BICUBIC, stdin=jpeg.getvalue()).stdout.startswith(b"\xff\xd8\xff")
    done = srgan("upscale", "-", "-", *BICUBIC, "--format", "webp", stdin=jpeg.getvalue())
    assert done.stdout[8:12] == b"WEBP"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early_is_no_disaster(unbuffered: str, command: str, examples: Path) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [command, "upscale", examples / "wolf.png", "-", *BICUBIC, "-q"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writing)
    assert len(os.read(reading, 10)) == 10
    os.close(reading)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_reader_gets_everything(unbuffered: str, srgan, examples: Path, tmp_path: Path) -> None:
    environment = {"PYTHONUNBUFFERED": unbuffered}
    piped = srgan("upscale", examples / "wolf.png", "-", *BICUBIC, env=environment).stdout
    assert srgan("upscale", examples / "wolf.png", "out.png", *BICUBIC).returncode == 0
    assert len(piped) > 1 << 17, "more than a pipe holds"
    assert piped == (tmp_path / "out.png").read_bytes()


def test_json_and_a_picture_do_not_share_standard_output(srgan, picture: Path) -> None:
    done = srgan("upscale", picture, "-", *BICUBIC, "--json")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--json" in done.stderr


# ------------------------------------------------------------------------------------------------ stopping


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopping_leaves_no_half_written_file(number: int, code: int, command: str, tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    Image.effect_noise((1500, 1500), 50).save(big)
    process = subprocess.Popen(
        [command, "upscale", big, tmp_path / "out.png", *BICUBIC, "--scale", "6"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    # Once the temporary file is there, the program is in the middle of its work.
    until = time.monotonic() + 60
    while time.monotonic() < until and not list(tmp_path.glob(".*")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out == b""
    assert b"Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["big.png"]
