"""Which files are found, and what their outputs are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from srgan.batch import BatchJob, Identity, Pictures
from srgan.batch.plan import NAME_FIELDS, Naming, Selection, numbered, same_name_key
from srgan.errors import InvalidConfig
from srgan.imaging import PICTURE_SUFFIXES, format_of


def found(top: Path, **choice: object) -> list[str]:
    def unreadable(name: str, reason: str) -> None:
        raise AssertionError(name, reason)

    return sorted(Selection(suffixes=PICTURE_SUFFIXES, **choice).find(top, unreadable))  # type: ignore[arg-type]


class Making(Pictures):
    """Pictures whose model and size are known beforehand."""

    def __init__(self, scale: float | None = None, model: str = "", measured: tuple[int, int, float] | None = None):
        super().__init__(BatchJob(source=Path("in"), target=Path("out")))
        self.__dict__.update(identity=Identity(model=model, settings=""), known=scale, measured=measured)

    @property
    def scale(self) -> float | None:
        return self.__dict__["known"]

    def measure(self, source: Path) -> tuple[int, int, float]:
        assert self.__dict__["measured"] is not None, "nobody needs it"
        return self.__dict__["measured"]


def named(format: str | None) -> str | None:
    return None if format is None else format_of(None, format)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["a.png", "b.JPG", "notes.txt", "deep/a.png", "deep/er/c.webp", "drafts/d.png", ".hidden/e.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({}, ["a.png", "b.JPG", "deep/a.png", "deep/er/c.webp", "drafts/d.png"]),
        ({"recursive": False}, ["a.png", "b.JPG"]),
        ({"include": ["*.png"]}, ["a.png", "deep/a.png", "drafts/d.png"]),
        ({"include": ["*.txt", "deep/*"]}, ["deep/a.png", "deep/er/c.webp", "notes.txt"]),
        ({"exclude": ["drafts"]}, ["a.png", "b.JPG", "deep/a.png", "deep/er/c.webp"]),
        ({"exclude": ["drafts/", "er"]}, ["a.png", "b.JPG", "deep/a.png"]),
        ({"include": ["*.png"], "exclude": ["deep/*"]}, ["a.png", "drafts/d.png"]),
        ({"exclude": ["*.png", "*.webp"]}, ["b.JPG"]),
    ],
)
def test_patterns_take_in_and_leave_out(tree: Path, choice: dict[str, object], names: list[str]) -> None:
    assert found(tree, **choice) == names


def test_the_output_folder_is_left_out_in_any_spelling(tree: Path) -> None:
    (tree / "link").symlink_to(tree / "deep")

    assert found(tree, without=tree / "link") == ["a.png", "b.JPG", "drafts/d.png"]


def test_links_to_folders_are_not_followed(tree: Path) -> None:
    (tree / "deep/loop").symlink_to(tree)
    (tree / "broken").symlink_to(tree / "nowhere")

    assert found(tree) == ["a.png", "b.JPG", "deep/a.png", "deep/er/c.webp", "drafts/d.png"]


def test_an_unreadable_folder_is_told_and_a_vanished_one_is_not(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, told = os.scandir, list[tuple[str, str]]()

    def scandir(path: str) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        if Path(path).name == "drafts":
            raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    names = sorted(Selection(suffixes=PICTURE_SUFFIXES).find(tree, lambda name, reason: told.append((name, reason))))

    assert names == ["a.png", "b.JPG"]
    assert told == [("deep", "Permission denied")]


@pytest.mark.parametrize(
    ("template", "format", "output"),
    [
        (None, None, ("deep/a.JPG", "JPEG")),
        (None, "jpeg", ("deep/a.JPG", "JPEG")),
        (None, "png", ("deep/a.png", "PNG")),
        ("{stem}_x{scale}{suffix}", None, ("deep/a_x2.5.JPG", "JPEG")),
        ("{stem}_x{scale}", "webp", ("deep/a_x2.5.webp", "WEBP")),
        ("{stem}.large", None, ("deep/a.large.JPG", "JPEG")),
        ("{stem}.tif", None, ("deep/a.tif", "TIFF")),
        ("{stem}-{width}x{height}", None, ("deep/a-30x20.JPG", "JPEG")),
        ("{model}/{stem}", None, ("deep/fast-x4/a.JPG", "JPEG")),
        ("all/{parent}/{stem}", None, ("all/deep/a.JPG", "JPEG")),
        ("{parent}_{stem}", None, ("deep_a.JPG", "JPEG")),
        ("{{{stem}}}", None, ("deep/{a}.JPG", "JPEG")),
    ],
)
def test_a_template_names_the_output(template: str | None, format: str | None, output: tuple[str, str]) -> None:
    naming = Naming(make=Making(2.5, "fast-x4", (30, 20, 2.5)), template=template, format=named(format))

    assert naming.output("deep/a.JPG", Path("in/deep/a.JPG")) == output


def test_an_animation_stays_gif_and_a_still_gif_becomes_png(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")

    naming = Naming(make=Making())
    assert naming.output("moving.gif", tmp_path / "moving.gif") == ("moving.gif", "GIF")
    assert naming.output("still.gif", tmp_path / "still.gif") == ("still.png", "PNG")
    assert Naming(make=Making(), format="GIF").output("still.gif", tmp_path / "still.gif") == ("still.gif", "GIF")
    assert naming.output("none.gif", tmp_path / "none.gif") == ("none.png", "PNG")


def test_a_template_with_the_folder_works_at_the_top_too() -> None:
    naming = Naming(make=Making(2), template="{parent}/{stem}/{parent}/large")

    assert naming.output("a.png", Path("a.png")) == ("a/large.png", "PNG")


def test_the_size_is_asked_only_when_it_is_named() -> None:
    naming = Naming(make=Making(2), template="{stem}_{scale}")
    assert naming.output("a.png", Path("a.png")) == ("a_2.png", "PNG")
    naming = Naming(make=Making(measured=(8, 6, 1.5)), template="{stem}_{scale}")
    assert naming.output("b.png", Path("b.png")) == ("b_1.5.png", "PNG")


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("{stem}_{size}", "{size}"),
        ("{stem", "expected '}'"),
        ("{}", "{}"),
        ("{0}", "{0}"),
        ("{stem.__class__}", "{stem.__class__}"),
        ("{stem[0]}", "{stem[0]}"),
        ("{stem!r}", "placeholder {stem!r}"),
        ("{stem:>999999999}", "placeholder {stem:>999999999}"),
        ("../{stem}", "does not lie in the output folder"),
        ("/tmp/{stem}", "does not lie in the output folder"),
        ("a/./{stem}", "does not lie in the output folder"),
        ("a//{stem}", "does not lie in the output folder"),
        ("{parent}/../../{stem}", "does not lie in the output folder"),
        (".srgan/{stem}", "does not lie in the output folder"),
        ("{stem}\0", "does not lie in the output folder"),
        ("{stem}" + 300 * "x", "longer than 255 bytes"),
        ("{stem}.jpg", "ends in JPEG, but the format is PNG"),
        ("{stem}_x{scale}", "cannot be used with a size in pixels"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_before_the_work(template: str, named: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        Naming(make=Making(), template=template, format="PNG", in_pixels=True)

    assert named in str(caught.value)


def test_a_name_that_becomes_impossible_is_that_files_own_failure() -> None:
    naming = Naming(make=Making(), template="{stem}{stem}")

    assert naming.output("a.png", Path("a.png"))[0] == "aa.png"
    with pytest.raises(InvalidConfig, match="longer than 255 bytes"):
        naming.output("ä" * 65 + ".png", Path("a.png"))
    with pytest.raises(InvalidConfig, match="does not lie in the output folder"):
        Naming(make=Making(), template="{parent}/../{stem}/x").output("a/b.png", Path("b.png"))
    with pytest.raises(InvalidConfig, match="does not lie"):
        Naming(make=Making(), template="{stem}/x").output("...png", Path("...png"))


def test_all_fields_are_described() -> None:
    everything = "".join(f"{{{name}}}" for name in NAME_FIELDS)

    assert Naming(make=Making(2), template=everything).named == set(NAME_FIELDS)


def test_numbers_go_before_the_suffix() -> None:
    assert numbered("a/b.tar.png", 2) == "a/b.tar (2).png"


def test_names_that_mean_one_file_have_one_key() -> None:
    assert same_name_key("Ä/a.PNG", any_case=True) == same_name_key("a\u0308/A.png", any_case=True)
    assert same_name_key("A.png", any_case=False) != same_name_key("a.png", any_case=False)
