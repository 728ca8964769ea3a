"""EXIF of a picture that changes: what is corrected, that the rest stays, and what hostile bytes can do."""

from __future__ import annotations

import io
import struct
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srgan.imaging import Picture, encode_picture, read_picture
from srgan.imaging.metadata.exif import (
    bare_exif,
    description_of,
    fit_exif,
    resized_exif,
    take_orientation,
    turned_exif,
    with_description,
    without_thumbnail,
)
from srgan.imaging.metadata.exif_directories import EXIF, GPS, MAKER_NOTE, Value, directories, entries, lay_out, tree_of

ORDERS = pytest.mark.parametrize("order", ["<", ">"])
NOTE = bytes(range(256)) + b"a camera's own"
IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION, PIXEL_X, PIXEL_Y = 0x0100, 0x0101, 0x0112, 0xA002, 0xA003


def thumbnail() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (160, 120), "red").save(stream, "JPEG")
    return stream.getvalue()


def from_camera(order: str, *, note: bytes = NOTE, with_thumbnail: bool = True) -> bytes:
    """EXIF as Pillow writes it, with GPS and a maker note, and behind it the directory of a thumbnail."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "Maker"
    exif[0x0131] = "Firmware 1.0"
    exif[ORIENTATION] = 6
    exif[IMAGE_WIDTH], exif[IMAGE_LENGTH] = 640, 480
    exif[EXIF] = {0x9003: "2020:01:02 03:04:05", PIXEL_X: 640, PIXEL_Y: 480, 0xA005: {1: "R98"}}
    if note:
        exif[EXIF][MAKER_NOTE] = note
    exif[GPS] = {1: "N", 2: (48.0, 8.0, 12.5), 3: "E", 4: (11.0, 34.0, 0.25)}
    data = bare_exif(exif.tobytes())
    assert data is not None
    return appended_thumbnail(data, order) if with_thumbnail else data


def appended_thumbnail(exif: bytes, order: str) -> bytes:
    out = bytearray(exif) + bytes(len(exif) % 2)
    picture = thumbnail()
    _, pointer = entries(exif, 8)
    assert pointer is not None
    struct.pack_into(f"{order}I", out, pointer, len(out))
    start = len(out) + 2 + 4 * 12 + 4 + 20
    out += struct.pack(f"{order}HHHIHH", 4, 0x0103, 3, 1, 6, 0)
    out += struct.pack(f"{order}HHII", 0x010E, 2, 20, start - 20)
    out += struct.pack(f"{order}HHII", 0x0201, 4, 1, start)
    out += struct.pack(f"{order}HHIII", 0x0202, 4, 1, len(picture), 0)
    return bytes(out + b"what is in it, once\0" + picture)


def loaded(exif: bytes) -> Image.Exif:
    tags = Image.Exif()
    tags.load(exif)
    return tags


def everything(exif: bytes) -> dict[int, Any]:
    tags = loaded(exif)
    inner = dict(tags.get_ifd(EXIF))
    inner[0xA005] = dict(tags.get_ifd(0xA005))
    return dict(tags) | {EXIF: inner, GPS: dict(tags.get_ifd(GPS))}


def place_of(exif: bytes, tag: int) -> int:
    return next(entry.start for _, _, here in directories(exif) for entry in here if entry.tag == tag)


# ------------------------------------------------------------------------------------------------------ correction


@ORDERS
def test_sizes_are_the_new_ones_and_all_else_stays(order: str) -> None:
    before = from_camera(order)
    assert thumbnail() in before
    after = resized_exif(before, (1920, 2560), (480, 640))
    expected = everything(before)
    expected |= {ORIENTATION: 1, IMAGE_WIDTH: 2560, IMAGE_LENGTH: 1920}
    expected[EXIF] |= {PIXEL_X: 2560, PIXEL_Y: 1920}
    assert everything(after) == expected
    assert after[:2] == before[:2]
    assert place_of(after, MAKER_NOTE) == place_of(before, MAKER_NOTE)
    assert expected[EXIF][MAKER_NOTE] == NOTE


@ORDERS
def test_only_the_bytes_that_must_change_do(order: str) -> None:
    before = from_camera(order, with_thumbnail=False)
    after = resized_exif(before, (1920, 2560), (480, 640))
    assert len(after) == len(before)
    changed = {at for at in range(len(before)) if before[at] != after[at]}
    allowed: set[int] = set()
    for _, _, here in directories(before):
        for entry in here:
            if entry.tag in (IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION, PIXEL_X, PIXEL_Y):
                allowed |= set(range(entry.at + 8, entry.at + 12))
    assert changed
    assert changed <= allowed


@ORDERS
def test_sizes_beyond_65535_become_long_numbers(order: str) -> None:
    before = from_camera(order)
    kinds = {e.tag: e.kind for _, _, here in directories(before) for e in here}
    assert kinds[PIXEL_X] == 3
    after = resized_exif(before, (100_000, 2**31 - 1), (480, 640))
    assert everything(after)[EXIF][PIXEL_X] == 2**31 - 1
    assert loaded(after)[IMAGE_LENGTH] == 100_000
    kinds = {e.tag: e.kind for _, _, here in directories(after) for e in here}
    assert kinds[PIXEL_X] == kinds[IMAGE_LENGTH] == 4


def test_sizes_that_are_not_stated_are_not_added() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    data = bare_exif(exif.tobytes())
    assert data is not None
    assert resized_exif(data, (10, 20), (480, 640)) == data


@ORDERS
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_orientation_counts_in_any_whole_number(order: str, kind: int) -> None:
    width = {1: "B", 3: "H", 4: "I"}[kind]
    exif = lay_out({ORIENTATION: Value(kind, 1, struct.pack(order + width, 8))}, order)
    orientation, after, _ = take_orientation(exif, None)
    assert orientation == 8
    assert after is not None
    assert loaded(after)[ORIENTATION] in (1, b"\1")
    assert take_orientation(after, None)[:2] == (1, after)


def test_an_orientation_outside_1_to_8_is_none() -> None:
    exif = lay_out({ORIENTATION: Value(3, 1, struct.pack("<H", 9))}, "<")
    orientation, after, _ = take_orientation(exif, b'<a tiff:Orientation="3">')
    assert orientation == 3
    assert after is not None
    assert loaded(after)[ORIENTATION] == 1


@ORDERS
def test_exif_out_of_a_tiff_file_has_all_directories_and_no_layout(order: str) -> None:
    tags = tree_of(from_camera(order, with_thumbnail=False))
    title = "Title".encode("utf-16-le")
    tags[0x9C9B] = Value(1, len(title), title)
    pixels = np.zeros((8, 8, 3), np.float32)
    found = read_picture(encode_picture(Picture(pixels=pixels, exif=lay_out(tags, order)), "TIFF")).exif
    assert found is not None
    expected = everything(from_camera(order, with_thumbnail=False))
    for tag in (IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION):
        del expected[tag]
    assert everything(found) == expected | {0x9C9B: title}
    assert expected[EXIF][0xA005] == {1: "R98"}
    assert read_picture(encode_picture(Picture(pixels=pixels), "TIFF")).exif is None


# ------------------------------------------------------------------------------------------------------- thumbnail


@ORDERS
def test_no_byte_of_the_thumbnail_is_left(order: str) -> None:
    bare = from_camera(order, with_thumbnail=False)
    slim = without_thumbnail(appended_thumbnail(bare, order))
    assert slim == bare + bytes(len(bare) % 2)
    assert loaded(slim).get_ifd(0x8769) == loaded(bare).get_ifd(0x8769)
    assert b"what is in it" not in slim


@ORDERS
def test_a_thumbnail_in_the_middle_is_blotted_out_and_nothing_moves(order: str) -> None:
    """The maker note stands behind the thumbnail, as in files of some cameras."""
    exif = bytearray(from_camera(order))
    note = next(e for _, _, here in directories(bytes(exif)) for e in here if e.tag == MAKER_NOTE)
    exif += bytes(len(exif) % 2)
    struct.pack_into(f"{order}I", exif, note.at + 8, len(exif))
    before = bytes(exif + NOTE)
    after = without_thumbnail(before)
    assert len(after) == len(before)
    assert everything(after) == everything(before)
    assert place_of(after, MAKER_NOTE) == len(before) - len(NOTE)
    assert thumbnail()[:20] not in after
    assert b"what is in it" not in after


@ORDERS
def test_bytes_behind_the_thumbnail_that_nobody_claims_stay(order: str) -> None:
    """A maker note may point anywhere."""
    before = from_camera(order) + b"known to the maker only"
    after = without_thumbnail(before)
    assert after.endswith(b"known to the maker only")
    assert len(after) == len(before)


def test_a_thumbnail_that_claims_the_maker_note_does_not_get_it() -> None:
    exif = from_camera("<")
    _, pointer = entries(exif, 8)
    assert pointer is not None
    (thumbnails,) = struct.unpack_from("<I", exif, pointer)
    start, size = (e for e in entries(exif, thumbnails)[0] if e.tag in (0x0201, 0x0202))
    lying = bytearray(exif)
    struct.pack_into("<I", lying, start.at + 8, 8)
    struct.pack_into("<I", lying, size.at + 8, len(exif) - 8)
    assert everything(without_thumbnail(bytes(lying))) == everything(exif)


def test_a_chain_of_directories_that_bites_its_tail_ends() -> None:
    before = bytearray(from_camera("<", with_thumbnail=False))
    pointer = entries(bytes(before), 8)[1]
    assert pointer is not None
    struct.pack_into("<I", before, pointer, 8)
    after = without_thumbnail(bytes(before))
    assert everything(after) == everything(bytes(before))
    assert struct.unpack_from("<I", after, pointer) == (0,)


# ------------------------------------------------------------------------------------------------------------ room


def test_what_fits_is_left_alone() -> None:
    exif = from_camera("<")
    assert fit_exif(exif, len(exif)) == (exif, [])


@ORDERS
def test_the_thumbnail_goes_first(order: str) -> None:
    exif = from_camera(order)
    fitting, lost = fit_exif(exif, len(exif) - 1)
    assert lost == ["thumbnail"]
    assert fitting == without_thumbnail(exif)


@ORDERS
def test_then_the_maker_note_goes_and_gps_stays(order: str) -> None:
    exif = from_camera(order, note=bytes(100_000))
    fitting, lost = fit_exif(exif, 65_527)
    assert lost == ["thumbnail", "maker note"]
    assert fitting is not None
    assert len(fitting) <= 65_527
    expected = everything(exif)
    del expected[EXIF][MAKER_NOTE]
    assert everything(fitting) == expected
    assert fitting[:2] == exif[:2]


@ORDERS
def test_gaps_go_before_the_maker_note_which_keeps_its_place(order: str) -> None:
    exif = bytearray(from_camera(order, with_thumbnail=False))
    note = next(e for _, _, here in directories(bytes(exif)) for e in here if e.tag == MAKER_NOTE)
    exif += bytes(300)
    struct.pack_into(f"{order}I", exif, note.at + 8, len(exif))
    before = bytes(exif + NOTE)
    fitting, lost = fit_exif(before + b"x" * 1000, len(before))
    assert lost == []
    assert fitting is not None
    assert len(fitting) <= len(before)
    assert everything(fitting) == everything(before)
    assert place_of(fitting, MAKER_NOTE) == place_of(before, MAKER_NOTE) == len(before) - len(NOTE)


@ORDERS
def test_a_maker_note_too_far_behind_is_moved_rather_than_lost(order: str) -> None:
    exif = bytearray(from_camera(order, with_thumbnail=False))
    note = next(e for _, _, here in directories(bytes(exif)) for e in here if e.tag == MAKER_NOTE)
    exif += bytes(70_000)
    struct.pack_into(f"{order}I", exif, note.at + 8, len(exif))
    fitting, lost = fit_exif(bytes(exif + NOTE), 65_527)
    assert lost == []
    assert fitting is not None
    assert everything(fitting) == everything(bytes(exif + NOTE))


@ORDERS
def test_then_the_largest_go_and_the_place_last(order: str) -> None:
    exif = from_camera(order)
    sizes = []
    for most in range(len(exif), 0, -7):
        fitting, lost = fit_exif(exif, most)
        if fitting is None:
            assert lost
            break
        assert len(fitting) <= most
        sizes.append(len(fitting))
        remaining = everything(fitting)
        if set(remaining) - {EXIF, GPS} or set(remaining[EXIF]) - {0xA005}:
            assert remaining[GPS] == everything(exif)[GPS]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 150


def test_a_long_list_of_losses_is_shortened() -> None:
    _, lost = fit_exif(from_camera("<"), 10)
    assert len(lost) == 9
    assert lost[-1].endswith(" more")


def test_pointers_to_pixels_do_not_survive_a_new_layout() -> None:
    tree = tree_of(from_camera("<", with_thumbnail=False))
    tree[0x0111] = Value(4, 1, struct.pack("<I", 8))
    exif = lay_out(tree, "<") + bytes(5000)
    fitting, _ = fit_exif(exif, 4000)
    assert fitting is not None
    assert 0x0111 not in loaded(fitting)
    assert loaded(fitting)[0x010F] == "Maker"


# --------------------------------------------------------------------------------------------------------- hostile


def all_of_it(exif: bytes) -> None:
    orientation, upright, _ = take_orientation(exif, None)
    assert 1 <= orientation <= 8
    assert upright is not None
    assert len(upright) == len(exif)
    assert len(resized_exif(exif, (70_000, 3), (480, 640))) <= len(exif)
    for most in (0, 30, 200, max(0, len(exif) - 1)):
        fitting, lost = fit_exif(exif, most)
        assert fitting is None or len(fitting) <= most
        assert len(lost) <= 9


@given(
    order=st.sampled_from("<>"),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=12),
    cut=st.integers(0, 2000),
)
def test_changed_and_cut_bytes_do_no_harm(order: str, changes: list[tuple[int, int]], cut: int) -> None:
    exif = bytearray(from_camera(order))
    for at, value in changes:
        exif[at % len(exif)] = value
    all_of_it(bytes(exif[: len(exif) - cut % len(exif)] if cut % 3 == 0 else exif))


@given(order=st.sampled_from([b"II*\0", b"MM\0*"]), data=st.binary(max_size=400))
def test_any_bytes_do_no_harm(order: bytes, data: bytes) -> None:
    all_of_it(order + data)
    all_of_it(data)


@pytest.mark.parametrize(("count", "most"), [(8_000, 4), pytest.param(65_535, 30, marks=pytest.mark.soak)])
def test_a_directory_whose_entries_all_claim_everything_takes_no_time(count: int, most: float) -> None:
    size = 800_000
    one = struct.pack("<HHII", 0x9286, 7, size - 100, 16)
    body = struct.pack("<H", count) + one * count + struct.pack("<I", 8)
    exif = b"II*\0" + struct.pack("<I", 8) + body
    exif = exif.ljust(size, b"\1")
    started = time.process_time()
    all_of_it(exif)
    assert time.process_time() - started < most


def test_values_that_overlap_cannot_make_a_tree_larger_than_its_bytes() -> None:
    entry = b"".join(struct.pack("<HHII", tag, 7, 3000, 8) for tag in range(1, 300))
    exif = b"II*\0" + struct.pack("<IH", 8, 299) + entry + bytes(4)
    values = [value for value in tree_of(exif).values() if isinstance(value, Value)]
    assert values
    assert sum(len(value.data) for value in values) <= len(exif)


def test_each_directory_is_visited_once() -> None:
    entry = struct.pack("<HHII", EXIF, 4, 1, 8) + struct.pack("<HHII", 0xA005, 4, 1, 8)
    exif = b"II*\0" + struct.pack("<IH", 8, 200) + entry * 100 + bytes(4)
    assert [tag for tag, _, _ in directories(exif)] == [0, EXIF, 0xA005]


@given(data=st.binary(max_size=100))
def test_what_is_no_tiff_stream_is_no_exif(data: bytes) -> None:
    found = bare_exif(b"Exif\0\0" + data)
    assert found is None or data == found
    assert bare_exif(b"Exif\0\0II*\0rest") == b"II*\0rest"


# ------------------------------------------------------------------------------------- what counts pixels


def described(text: bytes, order: str, kind: int = 2) -> bytes:
    return lay_out(
        {
            0x010E: Value(kind, len(text), text),
            0x010F: Value(2, 6, b"Maker\0"),
            0x0131: Value(2, 4, b"Sof\0"),
            GPS: {1: Value(2, 2, b"N\0")},
        },
        order,
    )


@ORDERS
@pytest.mark.parametrize("old", [b"A\0", b"A description\0"])
@pytest.mark.parametrize("new", [b"", b"B", b"shorter\0", b"far longer than it was before", None])
def test_another_description_or_none(old: bytes, new: bytes | None, order: str) -> None:
    before = described(old, order)
    assert description_of(before) == old
    after = with_description(before, new)
    expected = tree_of(before)
    del expected[0x010E]
    if new is not None:
        text = new if new.endswith(b"\0") else new + b"\0"
        expected[0x010E] = Value(2, len(text), text)
    assert tree_of(after) == expected
    assert new == old or len(old) <= 4 or old.rstrip(b"\0") not in after, "the old text cannot be dug out"


def test_a_stream_without_a_description_stays() -> None:
    before = from_camera("<")
    assert description_of(before) is None
    assert with_description(before, b"new") == before
    assert description_of(described(b"\0\0\0\1", "<", kind=1)) == b"\0\0\0\1"


@ORDERS
def test_pixels_on_the_sensor_follow_so_that_the_sensor_keeps_its_size(order: str) -> None:
    fields = {0xA20E: (3_000_000, 1024), 0xA20F: (2**32 - 1, 3), 0xA210: (2, 1)}
    tree = {EXIF: {tag: Value(5, 1, struct.pack(f"{order}II", *value)) for tag, value in fields.items()}}
    after = tree_of(resized_exif(lay_out(tree, order), (960, 2560), (480, 640)))[EXIF]
    assert isinstance(after, dict)
    seen = {tag: struct.unpack(f"{order}II", value.data) for tag, value in after.items() if isinstance(value, Value)}
    assert seen[0xA20E][0] / seen[0xA20E][1] == pytest.approx(4 * 3_000_000 / 1024)
    assert seen[0xA20F][0] / seen[0xA20F][1] == pytest.approx(2 * (2**32 - 1) / 3)
    assert seen[0xA210] == (2, 1)


@ORDERS
@pytest.mark.parametrize(
    ("area", "expected"),
    [
        ((100, 50), (400, 100)),
        ((100, 50, 10), (400, 100, 40)),
        ((100, 50, 10, 20), (400, 100, 40, 40)),
        ((65535, 1), (65535, 2)),
    ],
)
def test_the_place_of_the_subject_follows(order: str, area: tuple[int, ...], expected: tuple[int, ...]) -> None:
    tree = {EXIF: {0x9214: Value(3, len(area), struct.pack(f"{order}{len(area)}H", *area))}}
    after = tree_of(resized_exif(lay_out(tree, order), (960, 2560), (480, 640)))[EXIF]
    assert after == {0x9214: Value(3, len(area), struct.pack(f"{order}{len(area)}H", *expected))}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_place_of_the_subject_is_turned_with_the_picture(orientation: int) -> None:
    """One white pixel, and the subject on it."""
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[4, 7] = 255
    tree = {
        ORIENTATION: Value(3, 1, struct.pack("<H", orientation)),
        EXIF: {0x9214: Value(3, 4, struct.pack("<4H", 7, 4, 2, 6))},
    }
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG", exif=b"Exif\0\0" + lay_out(tree, "<"))
    picture = read_picture(buffer.getvalue())
    assert picture.exif is not None
    camera = tree_of(picture.exif)[EXIF]
    assert isinstance(camera, dict)
    subject = camera[0x9214]
    assert isinstance(subject, Value)
    x, y, *sides = struct.unpack("<4H", subject.data)
    assert picture.pixels[y, x, 0] == 1
    assert sides == ([6, 2] if orientation >= 5 else [2, 6])


@given(st.binary(max_size=200), st.integers(1, 8))
def test_hostile_streams_do_not_raise(tail: bytes, orientation: int) -> None:
    for head in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        for tag in (0x010E, 0x8769):
            data = head + struct.pack("<HHHII" if head[0] == 73 else ">HHHII", 1, tag, 4, 1, 26) + bytes(4) + tail
            turned_exif(data, orientation, (3, 4))
            with_description(data, None)
            with_description(data, b"longer than four")
            resized_exif(data, (30, 40), (3, 4))
