"""A file in, a file out: what belongs to the picture goes with it, and nothing is claimed that is not so."""

from __future__ import annotations

import io
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

import srgan
from srgan.errors import CannotWrite, InvalidConfig, InvalidImage, LimitExceeded
from srgan.imaging import Limits, Picture, Scan, blank, encode_picture, read_picture
from srgan.imaging.metadata.enlarged import provenance_of
from srgan.progress import Step
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler
from srgan.upscaler.files import Enlarged, Saving, enlarge_bytes, enlarge_file
from srgan.upscaler.forecast import forecast
from srgan.upscaler.opener import Models


def nearest(**options: Any) -> Upscaler:
    return Upscaler(NearestSession(2), **options)


def noise(height: int, width: int, channels: int = 3, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG with orientation, GPS and a size in its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8769)[0xA002] = 20
    path = tmp_path / "photo.jpg"
    Image.fromarray(noise(12, 20)).save(path, exif=exif, dpi=(300, 300), quality=95)
    return path


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def test_the_result_says_what_made_it_and_keeps_what_was_known(photo: Path, tmp_path: Path) -> None:
    made = enlarge_file(nearest(tta=True, alpha="resample"), photo, tmp_path / "out.png")

    assert (made.source_format, made.source_size, made.format, made.size, made.frames) == (
        "JPEG",
        (20, 12),
        "PNG",
        (40, 24),
        1,
    )
    picture = read_picture(tmp_path / "out.png")
    (record,) = provenance_of(picture)
    assert (record.model, record.tool_version) == ("nearest", srgan.__version__)
    assert (record.settings["tta"], record.settings["alpha"]) == (True, "resample")
    assert record.settings["scale"] == 2
    exif = opened(tmp_path / "out.png").getexif()
    assert exif[0x010F] == "Maker"
    assert exif.get(0x0112, 1) == 1
    assert exif.get_ifd(0x8825)[1] == "N"
    assert exif.get_ifd(0x8769)[0xA002] == 24
    assert picture.dpi == pytest.approx((300, 300), abs=0.1)


def test_metadata_and_provenance_are_left_out_on_request(photo: Path, tmp_path: Path) -> None:
    enlarge_file(nearest(), photo, tmp_path / "bare.png", saving=Saving(metadata=False, provenance=False))
    enlarge_file(nearest(), photo, tmp_path / "quiet.png", saving=Saving(provenance=False))
    enlarge_file(nearest(), photo, tmp_path / "told.png", saving=Saving(metadata=False))

    bare, quiet, told = (read_picture(tmp_path / f"{name}.png") for name in ("bare", "quiet", "told"))
    assert (bare.exif, bare.xmp) == (None, None)
    assert quiet.exif is not None
    assert provenance_of(quiet) == []
    assert told.exif is None
    assert len(provenance_of(told)) == 1


def test_a_picture_enlarged_twice_tells_both(tmp_path: Path) -> None:
    Image.fromarray(noise(3, 4)).save(tmp_path / "0.png")
    enlarge_file(nearest(), tmp_path / "0.png", tmp_path / "1.png")
    enlarge_file(nearest(), tmp_path / "1.png", tmp_path / "2.png", scale=1.5)

    records = provenance_of(read_picture(tmp_path / "2.png"))

    assert [record.settings["scale"] for record in records] == [2, 1.5]


@pytest.mark.parametrize("source", ["path", "bytes", "stream"])
def test_every_source_gives_the_same_bytes(photo: Path, tmp_path: Path, source: str) -> None:
    given: Any = {"path": photo, "bytes": photo.read_bytes(), "stream": io.BytesIO(photo.read_bytes())}[source]

    data, made = enlarge_bytes(nearest(), given, saving=Saving(format="png"))
    enlarge_file(nearest(), photo, tmp_path / "out.png")

    assert data == (tmp_path / "out.png").read_bytes()
    assert made.size == (40, 24)


class Pipe(io.RawIOBase):
    """Cannot be rewound, as standard input often cannot."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)
        self.taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._inner.read(size)
        self.taken += len(piece)
        return piece


def test_a_pipe_is_read_to_its_end_but_not_beyond_the_limit() -> None:
    data = encode_picture(Picture(pixels=np.full((5, 4, 3), 0.5, np.float32)), "PNG")

    enlarged, _ = enlarge_bytes(nearest(), Pipe(data))  # type: ignore[arg-type]
    assert opened(io.BytesIO(enlarged)).size == (8, 10)  # type: ignore[arg-type]

    endless = Pipe(data + b"\0" * (8 << 20))
    with pytest.raises(LimitExceeded):
        enlarge_bytes(nearest(), endless, limits=srgan.Limits(max_bytes=1000))  # type: ignore[arg-type]
    assert endless.taken <= 1 << 20


def test_a_pipe_that_has_a_name_is_read_once(photo: Path, tmp_path: Path) -> None:
    """A shell's <(command) is one: who opens it a second time waits for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = photo.read_bytes()
    writer = threading.Thread(target=lambda: pipe.write_bytes(data), daemon=True)
    writer.start()
    results: list[Enlarged] = []
    reader = threading.Thread(
        target=lambda: results.append(enlarge_file(nearest(), pipe, tmp_path / "out.png")), daemon=True
    )
    reader.start()
    reader.join(20)

    assert [made.size for made in results] == [(40, 24)]
    enlarge_file(nearest(), photo, tmp_path / "same.png")
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "same.png").read_bytes()


def test_the_format_of_bytes_is_kept() -> None:
    for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"):
        stream = io.BytesIO()
        Image.fromarray(noise(4, 4)).save(stream, format)

        data, made = enlarge_bytes(nearest(), stream.getvalue())

        assert made.format == format
        assert opened(io.BytesIO(data)).format == format  # type: ignore[arg-type]


def animation(path: Path, **options: Any) -> Path:
    frames = [Image.fromarray(noise(6, 8, seed=seed)) for seed in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 250, 30], loop=4, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_an_animation_stays_one(tmp_path: Path, suffix: str) -> None:
    source = animation(tmp_path / f"in{suffix}", **({"lossless": True} if suffix == ".webp" else {}))

    made = enlarge_file(nearest(), source, tmp_path / f"out{suffix}", saving=Saving(quality=100))
    data, told = enlarge_bytes(nearest(), source.read_bytes(), saving=Saving(quality=100))

    assert (made.frames, made.size) == (told.frames, told.size) == (3, (12, 16))
    for target in (tmp_path / f"out{suffix}", io.BytesIO(data)):
        with Image.open(target) as image:
            assert image.n_frames == 3  # type: ignore[attr-defined]
            for number in range(3):
                image.seek(number)
                expected = noise(6, 8, seed=number).repeat(2, 0).repeat(2, 1)
                np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected)


def test_an_animation_does_not_become_a_still_in_silence(tmp_path: Path) -> None:
    source = animation(tmp_path / "in.png")

    with pytest.raises(InvalidConfig):
        enlarge_file(nearest(), source, tmp_path / "out.jpg")
    assert not (tmp_path / "out.jpg").exists()


def test_what_cannot_end_well_is_refused_before_the_work(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = NearestSession(2)
    upscaler = Upscaler(session)

    with pytest.raises(LimitExceeded, match="WEBP"):
        enlarge_file(upscaler, photo, tmp_path / "out.webp", width=20_000)
    with pytest.raises(InvalidConfig):
        enlarge_file(upscaler, photo, tmp_path / "out.docx")
    with pytest.raises(CannotWrite, match="exists"):
        enlarge_file(upscaler, photo, photo)
    monkeypatch.setattr("srgan.upscaler.files.check_space", no_room)
    with pytest.raises(CannotWrite, match="no room"):
        enlarge_file(upscaler, photo, tmp_path / "out.png")
    assert session.shapes == []
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def no_room(target: Path, needed: int) -> None:
    raise CannotWrite(f"no room for {needed} bytes")


# --------------------------------------------------------------------------------------------------- models


def test_auto_looks_at_the_picture_and_loses_none_of_it(
    monkeypatch: pytest.MonkeyPatch, photo: Path, tmp_path: Path
) -> None:
    seen: list[Picture] = []

    def choose(picture: Picture, scale: float | None) -> str:
        seen.append(picture)
        return "nearest"

    monkeypatch.setattr("srgan.upscaler.choice.choose_model", choose)
    made = enlarge_file(Models("auto"), photo, tmp_path / "auto.png", scale=2, saving=Saving(provenance=False))
    enlarge_file(Models("nearest"), photo, tmp_path / "named.png", scale=2, saving=Saving(provenance=False))

    assert made.info.model.startswith("nearest")
    np.testing.assert_array_equal(seen[0].pixels, read_picture(photo).pixels)
    assert (tmp_path / "auto.png").read_bytes() == (tmp_path / "named.png").read_bytes()


def test_of_a_large_picture_only_the_top_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    from srgan.upscaler import files

    monkeypatch.setattr(files, "_SAMPLE_PIXELS", 30)
    rows = np.random.default_rng(1).random((9, 10, 3), np.float32)
    scan = Scan(like=Picture(pixels=blank(9, 10, 3)), strips=iter(np.split(rows, 9)))

    seen, again = files._looked_at(scan)

    np.testing.assert_array_equal(seen.pixels, rows[:3])
    np.testing.assert_array_equal(np.concatenate(list(again.strips)), rows)


# ------------------------------------------------------------------------------------------- scans and alpha


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("wanted", [{}, {"scale": 5}, {"scale": 0.5}])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_scan_gives_what_the_picture_gives(tile: int | None, wanted: Any, channels: int) -> None:
    pixels = np.random.default_rng(2).random((50, 30, channels), np.float32)
    upscaler = nearest(tile=tile)
    scan = Scan(like=Picture(pixels=blank(50, 30, channels)), strips=iter(np.split(pixels, [1, 20, 21, 44])))

    scanned = np.concatenate(list(upscaler.strips(scan, **wanted)))

    np.testing.assert_array_equal(scanned, upscaler.upscale(Picture(pixels=pixels), **wanted).pixels)


def test_what_a_scan_raises_passes_through() -> None:
    def strips() -> Any:
        yield np.zeros((4, 8, 3), np.float32)
        raise InvalidImage("cut short")

    scan = Scan(like=Picture(pixels=blank(8, 8, 3)), strips=strips())

    with pytest.raises(InvalidImage, match="cut short"):
        list(nearest().strips(scan))


def test_alpha_may_go_through_the_resampler() -> None:
    pixels = np.ones((40, 40, 4), np.float32)
    pixels[:, 20:, 3] = 0
    networked = nearest(tile=16).upscale(Picture(pixels=pixels)).pixels
    whole = nearest(alpha="resample").upscale(Picture(pixels=pixels)).pixels
    tiled = nearest(alpha="resample", tile=16).upscale(Picture(pixels=pixels)).pixels

    assert set(np.unique(networked[..., 3])) == {0, 1}
    assert len(np.unique(whole[..., 3])) > 4  # a slope, where the nearest neighbour has a step
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    assert whole[..., 3].min() >= 0
    assert whole[..., 3].max() <= 1


def test_an_unknown_way_for_alpha_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="network, resample"):
        nearest(alpha="none")


def test_an_account_is_plain_data() -> None:
    assert {"source_format", "source_size", "format", "size", "frames", "info", "damage"} == set(
        Enlarged.__annotations__
    )


# ------------------------------------------------------------------------------------------------ forecast


def test_a_large_picture_is_announced_before_the_work(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Step] = []

    def tell(step: Step) -> None:
        if step.news:
            assert not (tmp_path / "out.png").exists()
            told.append(step)

    enlarge_file(nearest(), photo, tmp_path / "small.png", report=tell)
    assert told == []  # too small to be worth the trial

    monkeypatch.setattr("srgan.upscaler.files.WORTH_TELLING", 1)
    enlarge_file(nearest(), photo, tmp_path / "out.png", report=tell, scale=3)

    (step,) = told
    assert re.fullmatch(
        r"36x60 pixels: about \d+ seconds in 2 runs of the network, and at most about \d+ MB on the disk", step.news
    )
    assert (step.done, step.total, step.unit) == (0, 20 * 12, "pixels")


def test_a_forecast_grows_with_the_picture_and_with_the_time_of_a_run() -> None:
    class Slow(NearestSession):
        def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            time.sleep(0.05)
            return super().run(batch)

    slow = Upscaler(Slow(2))
    one = forecast(slow, (128, 128), (256, 256), 7)
    nine = forecast(slow, (384, 384), (768, 768), 7)

    assert one.seconds >= 0.05
    assert nine.seconds >= 9 * 0.05
    assert one.file_bytes == 7
    assert (one.runs, "runs" in str(one)) == (1, False)


def damaged_photo(path: Path) -> Path:
    """A JPEG whose scan ends early."""
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 48)).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[:-900] + b"\xff\xd9")
    return path


def test_damage_is_refused_or_kept_and_accounted_for(tmp_path: Path) -> None:
    source, target = damaged_photo(tmp_path / "photo.jpg"), tmp_path / "out.png"
    with pytest.raises(InvalidImage, match=r"photo.jpg: damaged or truncated JPEG: .*--damaged keep"):
        enlarge_file(nearest(), source, target)
    assert not target.exists()

    made = enlarge_file(nearest(), source, target, limits=Limits(damaged="keep"))
    assert [fault.rpartition(": ")[2] for fault in made.damage] == ["premature end of data segment"]
    assert opened(target).size == (96, 128)
    assert enlarge_bytes(nearest(), source.read_bytes(), limits=Limits(damaged="keep"))[1].damage == made.damage

    assert srgan.upscale(source, nearest(), output=tmp_path / "kept.png", damaged="keep").exists()
    with pytest.raises(InvalidImage, match="damaged"):
        srgan.upscale(source, nearest(), output=tmp_path / "not.png", damaged="refuse")


def test_damage_of_pages_and_frames_says_where_it_is(tmp_path: Path) -> None:
    source = tmp_path / "pages.tif"
    with tifffile.TiffWriter(source) as writer:
        for _ in range(3):
            writer.write(noise(20, 20), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(source) as file:
        place = file.pages[1].dataoffsets[0]
    data = bytearray(source.read_bytes())
    data[place + 2] ^= 0xFF
    source.write_bytes(data)
    made = enlarge_file(nearest(), source, tmp_path / "out.tif", limits=Limits(damaged="keep"))
    assert made.frames == 3
    assert [fault.split(":")[0] for fault in made.damage] == ["page 2"]

    first, *others = (Image.fromarray(noise(12, 12, seed=seed)) for seed in range(3))
    buffer = io.BytesIO()
    first.save(buffer, "PNG", save_all=True, append_images=others)
    data = bytearray(buffer.getvalue())
    data[data.rindex(b"fdAT") + 30] ^= 1
    moving = enlarge_file(nearest(), bytes(data), tmp_path / "out.png", limits=Limits(damaged="keep"))
    assert moving.frames == 3
    assert [fault.split(":")[0] for fault in moving.damage] == ["frame 3"]


def test_a_sound_picture_has_no_damage(photo: Path, tmp_path: Path) -> None:
    assert enlarge_file(nearest(), photo, tmp_path / "out.png", limits=Limits(damaged="keep")).damage == ()
