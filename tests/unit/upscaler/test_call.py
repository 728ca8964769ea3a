"""`srgan.upscale`: whatever kind goes in comes back, larger, and every refusal is an `SrganError`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import srgan
from srgan.errors import CannotWrite, InvalidConfig, InvalidImage, LimitExceeded, SrganError
from srgan.imaging import Limits, Picture, read_picture
from srgan.models import Bundle
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler


def nearest(scale: int = 4) -> NearestSession:
    return NearestSession(scale)


def noise(*shape: int, top: int = 255, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, top + 1, shape).astype(dtype)


def repeated(values: np.ndarray, scale: int = 4) -> np.ndarray:
    return values.repeat(scale, axis=0).repeat(scale, axis=1)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


# ------------------------------------------------------------------------------------------------------ arrays


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (1, 1), (1, 7, 3)])
@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 1), (np.float16, 1)]
)
def test_arrays_come_back_exact_in_their_own_type(shape: tuple[int, ...], dtype: Any, top: int) -> None:
    values = noise(*shape, top=top, dtype=dtype)

    enlarged = srgan.upscale(values, nearest())

    assert enlarged.dtype == dtype
    assert np.array_equal(enlarged, repeated(values))


@pytest.mark.parametrize("channels", [2, 4])
def test_arrays_with_alpha_keep_it(channels: int) -> None:
    values = noise(5, 6, channels)
    values[..., -1] = values[..., -1] // 2 + 1

    assert np.array_equal(srgan.upscale(values, nearest()), repeated(values))


def test_views_and_foreign_byte_orders_are_arrays_too() -> None:
    values = noise(6, 8, 3, top=65535, dtype=np.uint16)

    assert np.array_equal(srgan.upscale(values.astype(">u2"), nearest()), repeated(values))
    assert np.array_equal(srgan.upscale(values[::-1, ::2], nearest()), repeated(values[::-1, ::2]))


def test_the_array_given_is_left_as_it_was() -> None:
    values = noise(6, 8, 4).astype(np.float32) / 255
    values[2:4, :, 3] = 0
    before = values.copy()

    srgan.upscale(values, nearest())
    srgan.upscale(values, nearest(), scale=1)

    assert np.array_equal(values, before)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 20, 30), np.uint8), r"not \(3, 20, 30\); channels come last"),
        (np.zeros((20, 30, 5), np.uint8), "1..4"),
        (np.zeros(5, np.uint8), "height x width"),
        (np.zeros((1, 5, 5, 3), np.uint8), "height x width"),
        (np.zeros((0, 5), np.uint8), "height x width"),
        (np.zeros((5, 0, 3), np.uint8), "height x width"),
        (np.zeros((5, 5), bool), "not bool"),
        (np.zeros((5, 5), np.int64), "not int64"),
        (np.zeros((5, 5), complex), "not complex128"),
        (np.full((5, 5), 200.0), r"floats must be in \[0, 1\]; these range from 200 to 200"),
        (np.full((5, 5), np.nan), "floats must be in"),
        (np.full((5, 5), -np.inf), "floats must be in"),
        ([[1, 2], [3, 4]], "not list"),
        (None, "not NoneType"),
        (7, "not int"),
    ],
)
def test_what_is_no_picture_is_refused(values: Any, message: str) -> None:
    with pytest.raises(InvalidImage, match=message):
        srgan.upscale(values, nearest())


def test_floats_that_overshoot_a_little_are_clipped() -> None:
    values = np.array([[-0.1, 0.5, 1.2]])

    assert srgan.upscale(values, nearest(1)).tolist() == [[0, 0.5, 1]]


# ---------------------------------------------------------------------------------------------- Pillow images


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_pillow_images_keep_their_mode(mode: str) -> None:
    values = noise(5, 6, len(mode))
    values[..., -1] |= 1
    image = Image.fromarray(values[..., 0] if mode == "L" else values, mode=None)

    enlarged = srgan.upscale(image, nearest())

    assert isinstance(enlarged, Image.Image)
    assert enlarged.mode == mode
    assert np.array_equal(np.asarray(enlarged), repeated(np.asarray(image)))


def test_pillow_images_of_16_bit_stay_so() -> None:
    image = Image.fromarray(noise(5, 6, top=65535, dtype=np.uint16))

    enlarged = srgan.upscale(image, nearest())

    assert enlarged.mode == "I;16"
    assert np.array_equal(np.asarray(enlarged), repeated(np.asarray(image)))


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [
        ("1", "L"),
        ("P", "RGB"),
        ("PA", "RGBA"),
        ("CMYK", "RGB"),
        ("YCbCr", "RGB"),
        ("HSV", "RGB"),
        ("RGBX", "RGB"),
    ],
)
def test_other_pillow_modes_become_plain_ones(mode: str, becomes: str) -> None:
    image = Image.fromarray(noise(5, 6, 3)).convert("P" if mode == "PA" else mode)
    image = image.convert(mode)

    enlarged = srgan.upscale(image, nearest())

    assert enlarged.mode == becomes
    assert np.array_equal(np.asarray(enlarged), repeated(np.asarray(image.convert(becomes))))


@pytest.mark.parametrize(("mode", "key", "becomes"), [("P", 3, "RGBA"), ("RGB", (9, 9, 9), "RGBA"), ("L", 7, "LA")])
def test_a_transparent_colour_becomes_alpha(mode: str, key: Any, becomes: str) -> None:
    image = Image.new(mode, (4, 4), key)
    image.putpixel((1, 1), 5 if mode != "RGB" else (5, 5, 5))
    image.info["transparency"] = key

    enlarged = srgan.upscale(image, nearest(2))

    assert enlarged.mode == becomes
    alpha = np.asarray(enlarged)[..., -1]
    assert (alpha == 255).sum() == 4
    assert (alpha == 0).sum() == 60


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pillow_modes_of_unknown_range_are_refused(mode: str) -> None:
    with pytest.raises(InvalidImage, match=f"mode {mode} is not supported"):
        srgan.upscale(Image.new(mode, (3, 3)), nearest())


def test_a_truncated_pillow_image_is_refused() -> None:
    data = encoded(Image.fromarray(noise(50, 60, 3)), "PNG")
    image = Image.open(io.BytesIO(data[: len(data) // 2]))

    with pytest.raises(InvalidImage, match="cannot be read"):
        srgan.upscale(image, nearest())


def test_what_a_pillow_image_carries_goes_with_it() -> None:
    image = Image.new("RGB", (3, 3))
    image.info.update(icc_profile=b"profile", dpi=(300, 300), exif=b"Exif", gamma=2.2)

    assert srgan.upscale(image, nearest()).info == {"icc_profile": b"profile", "dpi": (300, 300), "exif": b"Exif"}
    assert "icc_profile" not in srgan.upscale(Image.new("CMYK", (3, 3)), nearest()).info


# ------------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_bytes_come_back_in_their_own_format(format: str) -> None:
    data = encoded(Image.fromarray(noise(5, 6, 3)), format)

    enlarged = srgan.upscale(data, nearest())

    assert isinstance(enlarged, bytes)
    with Image.open(io.BytesIO(enlarged)) as image:
        assert (image.format, image.size) == (format, (24, 20))


def test_bytes_that_can_be_changed_are_taken_too() -> None:
    enlarged = srgan.upscale(bytearray(encoded(Image.new("L", (4, 3)), "GIF")), nearest())  # type: ignore[call-overload]

    with Image.open(io.BytesIO(enlarged)) as image:
        assert (image.format, image.size) == ("GIF", (16, 12))


def test_quality_is_that_of_the_file() -> None:
    data = encoded(Image.fromarray(noise(40, 40, 3)), "JPEG")

    assert len(srgan.upscale(data, nearest(), quality=5)) < len(srgan.upscale(data, nearest(), quality=95)) / 3
    for wrong in (0, 101):
        session = nearest()
        with pytest.raises(InvalidConfig, match=r"upscale\.quality: must be (greater|less) than or equal to"):
            srgan.upscale(data, session, quality=wrong)
        assert session.shapes == []


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF"])
def test_an_open_file_gives_bytes_back(format: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(noise(5, 6, 3)), format)
    expected = srgan.upscale(data, nearest())
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    assert srgan.upscale(stream, nearest()) == expected
    path = tmp_path / "small"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert srgan.upscale(file, nearest()) == expected
    with path.open(encoding="latin-1") as file, pytest.raises(InvalidImage, match="small: is open as text; open it in"):
        srgan.upscale(file, nearest())  # type: ignore[call-overload]
    with pytest.raises(InvalidConfig, match="a picture given as a path"):
        srgan.upscale(stream, nearest(), output=tmp_path / "out.png")  # type: ignore[call-overload]


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_picture_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="the input"):
        srgan.upscale(data, nearest())


def test_limits_hold_for_files() -> None:
    with pytest.raises(LimitExceeded, match="the limit is 10"):
        srgan.upscale(encoded(Image.new("L", (4, 3)), "PNG"), nearest(), limits=Limits(max_pixels=10))


def test_a_result_too_large_for_its_format_is_refused_before_the_work() -> None:
    session = nearest()

    with pytest.raises(LimitExceeded, match="too large for WEBP"):
        srgan.upscale(encoded(Image.new("L", (5000, 3)), "WEBP"), session)
    assert session.shapes == []


# ------------------------------------------------------------------------------------------------------- paths


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "my.cat.jpg"
    Image.fromarray(noise(5, 6, 3)).save(path)
    return path


def test_a_path_gives_a_png_beside_it(cat: Path) -> None:
    before = cat.read_bytes()

    written = srgan.upscale(cat, nearest())

    assert written == cat.with_name("my.cat_x4.png")
    assert np.array_equal(read_picture(written).pixels, repeated(read_picture(cat).pixels))
    assert cat.read_bytes() == before
    assert srgan.upscale(str(cat), nearest(), overwrite=True) == written


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"scale": 2.5}, "my.cat_x2.5.png"),
        ({"scale": 3.0}, "my.cat_x3.png"),
        ({"width": 60}, "my.cat_60x50.png"),
        ({"long_side": 12, "scale": None}, "my.cat_12x10.png"),
    ],
)
def test_the_name_tells_the_size(cat: Path, options: Any, name: str) -> None:
    assert srgan.upscale(cat, nearest(), **options).name == name


def test_the_name_tells_the_upscaler_s_own_scale(cat: Path) -> None:
    assert srgan.upscale(cat, Upscaler(nearest(), scale=2)).name == "my.cat_x2.png"


def test_an_output_can_be_named(cat: Path, tmp_path: Path) -> None:
    target = tmp_path / "large.webp"

    assert srgan.upscale(cat, nearest(), output=target) == target
    with Image.open(target) as image:
        assert (image.format, image.size) == ("WEBP", (24, 20))


def test_an_existing_output_is_only_replaced_on_request(cat: Path, tmp_path: Path) -> None:
    target = tmp_path / "large.png"
    target.write_text("precious")
    for options in ({"output": target}, {"output": str(target)}):
        session = nearest()
        with pytest.raises(CannotWrite, match="exists already"):
            srgan.upscale(cat, session, **options)  # type: ignore[call-overload]
        assert session.shapes == []
    assert target.read_text() == "precious"

    srgan.upscale(cat, nearest(), output=target, overwrite=True)
    assert read_picture(target).width == 24


def test_the_name_beside_the_input_is_protected_too(cat: Path) -> None:
    session = nearest()
    srgan.upscale(cat, session)

    with pytest.raises(CannotWrite, match="exists already"):
        srgan.upscale(cat, session)
    assert len(session.shapes) == 1


@pytest.mark.parametrize(
    ("output", "error"), [("large.xyz", InvalidConfig), ("none/large.png", CannotWrite), (".", InvalidConfig)]
)
def test_outputs_that_cannot_be_are_refused_before_the_work(cat: Path, tmp_path: Path, output: str, error: Any) -> None:
    session = nearest()

    with pytest.raises(error):
        srgan.upscale(cat, session, output=tmp_path / output)
    assert session.shapes == []


def test_a_format_that_is_too_small_for_the_result_is_refused_before_the_work(tmp_path: Path) -> None:
    Image.new("L", (5000, 3)).save(tmp_path / "wide.png")
    session = nearest()

    with pytest.raises(LimitExceeded, match="too large for WEBP"):
        srgan.upscale(tmp_path / "wide.png", session, output=tmp_path / "wide.webp")
    assert session.shapes == []


def test_a_missing_file_is_an_invalid_image(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match="no such file"):
        srgan.upscale(tmp_path / "none.png", nearest())


# ------------------------------------------------------------------------------------------------- the options


def test_a_picture_gives_a_picture() -> None:
    picture = Picture(pixels=noise(5, 6, 3).astype(np.float32) / 255, dpi=(10, 10))

    enlarged = srgan.upscale(picture, nearest(), scale=2)

    assert (enlarged.width, enlarged.dpi) == (12, (10, 10))


def test_an_upscaler_can_be_given_as_the_model_and_is_used_as_it_is() -> None:
    session = nearest()
    upscaler = Upscaler(session, tile=16)

    srgan.upscale(noise(40, 40), upscaler, scale=2)

    assert len(session.shapes) == 9
    with pytest.raises(InvalidConfig, match="tile, threads: cannot be set, as the given Upscaler is already open"):
        srgan.upscale(noise(40, 40), upscaler, tile=8, threads=2)


def test_options_for_opening_reach_the_upscaler() -> None:
    session = nearest()

    srgan.upscale(noise(40, 40), session, tile=16)

    assert len(session.shapes) == 9


def test_the_resampler_can_be_chosen() -> None:
    values = noise(9, 9)

    assert not np.array_equal(
        srgan.upscale(values, nearest(), scale=3, resample="box"), srgan.upscale(values, nearest(), scale=3)
    )


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    srgan.upscale(noise(9, 9), nearest(), report=lambda step: told.append((step.done, step.total)))

    assert told == [(0, 81), (81, 81)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "fast-x4"),
        ({"scale": 2}, "fast-x2"),
        ({"scale": None}, "fast-x4"),
        ({"width": 60}, "fast-x4"),  # ten times
        ({"long_side": 3}, "fast-x2"),  # 3 rows of 5
        ({"width": 6, "height": 15}, "fast-x4"),
    ],
)
def test_a_family_is_opened_for_the_size_wanted(monkeypatch: pytest.MonkeyPatch, options: Any, expected: str) -> None:
    asked: list[Any] = []

    def open_session(model: Bundle, **options: Any) -> NearestSession:
        asked.append((model.info.name, options["device"]))
        return nearest()

    monkeypatch.setattr("srgan.runtime.open_session", open_session)
    srgan.upscale(noise(5, 6), "fast", device="cpu", **options)

    assert asked == [(expected, "cpu")]


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"scale": 2, "width": 5}, {"resample": "sharp"}, {"tile": 0}])
def test_options_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises(SrganError):
        srgan.upscale(noise(5, 6), nearest(), **wrong)


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"there is no option 'sclae'"):
        srgan.upscale(noise(5, 6), nearest(), sclae=2)  # type: ignore[call-overload]


@pytest.mark.parametrize("options", [{"output": "x.png"}, {"overwrite": True}])
def test_a_file_name_is_only_for_files(options: Any) -> None:
    with pytest.raises(InvalidConfig, match="for a picture given as a path"):
        srgan.upscale(noise(5, 6), nearest(), **options)
