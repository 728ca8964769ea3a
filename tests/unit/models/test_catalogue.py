"""Finding models: shipped ones, the user's own, families, scales and paths."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from srgan.errors import CorruptModel, ModelNotFound
from srgan.models import Bundle, catalogue, find_model, list_models

Make = Callable[..., Bundle]


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the one in the wheel, and another for the user; both are empty."""
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("SRGAN_MODELS", str(tmp_path / "own"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shipped"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def family(shipped: Path, make_bundle: Make) -> None:
    for scale in (8, 2, 4):
        make_bundle(shipped / f"tiny-x{scale}", f"tiny-x{scale}", scale=scale)
    make_bundle(shipped / "wide-x3", "wide-x3", family="wide", scale=3)
    make_bundle(shipped / "alone", "alone", family="", scale=2)


@pytest.mark.usefixtures("family")
def test_models_are_listed_by_name() -> None:
    assert [b.info.name for b in list_models()] == ["alone", "tiny-x2", "tiny-x4", "tiny-x8", "wide-x3"]


@pytest.mark.usefixtures("family")
def test_the_users_own_come_after_the_shipped_ones(own: Path, make_bundle: Make) -> None:
    make_bundle(own / "a-folder", "mine")
    make_bundle(own / "b.zip", "zipped")

    assert [b.info.name for b in list_models()][-2:] == ["mine", "zipped"]
    assert find_model("zipped").path == own / "b.zip"


def test_there_may_be_no_models() -> None:
    assert list_models() == []
    with pytest.raises(ModelNotFound, match=r"There is no model 'fast'\. Models: none; or give the path of a bundle"):
        find_model("fast")


@pytest.mark.usefixtures("family")
def test_other_things_in_the_folder_are_passed_over(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    (own / "notes").mkdir(parents=True)
    (own / "readme.txt").write_text("hello")

    assert len(list_models()) == 5
    assert caplog.text == ""


@pytest.mark.usefixtures("family")
def test_a_damaged_model_is_named_and_does_not_stop_the_others(
    own: Path, make_bundle: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make_bundle(own / "broken", "broken")
    (own / "broken" / "model.toml").write_text("name = ")
    (own / "bad.zip").write_text("not a zip")

    with caplog.at_level(logging.WARNING, "srgan"):
        assert len(list_models()) == 5

    assert "broken: model.toml is not valid TOML" in caplog.text
    assert "bad.zip" in caplog.text


@pytest.mark.parametrize("name", ["broken", "bad"])
def test_a_damaged_model_that_is_asked_for_is_not_called_unknown(own: Path, make_bundle: Make, name: str) -> None:
    make_bundle(own / "broken", "broken")
    (own / "broken" / "model.toml").write_text("name = ")
    (own / "bad.zip").write_text("not a zip")

    with pytest.raises(CorruptModel, match=name):
        find_model(name)


def test_a_model_can_be_asked_for_by_its_folder(own: Path, make_bundle: Make) -> None:
    make_bundle(own / "renamed", "original")

    assert find_model("renamed").info.name == "original"


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize(
    ("scale", "name"),
    [
        (None, "tiny-x4"),
        (1, "tiny-x2"),
        (2, "tiny-x2"),
        (2.5, "tiny-x4"),
        (4, "tiny-x4"),
        (5, "tiny-x8"),
        (99, "tiny-x8"),
    ],
)
def test_a_family_member_is_picked_by_scale(scale: float | None, name: str) -> None:
    assert find_model("tiny", scale).info.name == name


@pytest.mark.usefixtures("family")
def test_a_family_without_x4_gives_the_nearest() -> None:
    assert find_model("wide").info.name == "wide-x3"


@pytest.mark.usefixtures("family")
def test_a_name_wins_over_the_scale() -> None:
    assert find_model("tiny-x2", 8).info.name == "tiny-x2"


def test_a_name_wins_over_a_family(own: Path, make_bundle: Make) -> None:
    make_bundle(own / "a", "tiny-x4", family="tiny")
    make_bundle(own / "b", "tiny", family="other", scale=2)

    assert find_model("tiny").info.family == "other"


@pytest.mark.usefixtures("family")
def test_a_shipped_model_wins_over_one_of_the_same_name(own: Path, shipped: Path, make_bundle: Make) -> None:
    make_bundle(own / "tiny-x4", "tiny-x4", description="mine")

    assert find_model("tiny-x4").path == shipped / "tiny-x4"


@pytest.mark.usefixtures("family")
def test_an_unknown_name_is_answered_with_all_names() -> None:
    with pytest.raises(ModelNotFound) as caught:
        find_model("huge")

    assert str(caught.value) == (
        "There is no model 'huge'. Models: alone, tiny, tiny-x2, tiny-x4, tiny-x8, wide, wide-x3; "
        "or give the path of a bundle"
    )


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("name", ["", " ", "TINY", "tiny-x"])
def test_names_are_taken_literally(name: str) -> None:
    with pytest.raises(ModelNotFound, match="There is no model"):
        find_model(name)


@pytest.mark.parametrize("name", ["..", "."])
def test_a_folder_that_is_no_model_is_refused_as_such(name: str) -> None:
    with pytest.raises(ModelNotFound, match="is not a model: a model is a folder"):
        find_model(name)


def test_paths_open_what_is_there(tmp_path: Path, make_bundle: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_bundle(tmp_path / "some" / "where")
    make_bundle(tmp_path / "packed.zip", "packed")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert find_model(str(made.path)) == made
    assert find_model(made.path) == made
    assert find_model("some/where").info == made.info
    assert find_model("~/some/where").path == made.path
    assert find_model("packed.zip").info.name == "packed"
    monkeypatch.chdir(made.path)
    assert find_model("model.toml").info == made.info


def test_a_bundle_in_the_current_folder_needs_no_separator(tmp_path: Path, make_bundle: Make, own: Path) -> None:
    make_bundle(tmp_path / "here", "from-here")
    assert find_model("here").info.name == "from-here"

    make_bundle(own / "x", "here", description="named so")
    assert find_model("here").info.description == "named so"
    assert find_model(Path("here")).info.name == "from-here"


def test_a_path_object_is_never_a_name(own: Path, make_bundle: Make) -> None:
    make_bundle(own / "x", "mine")

    with pytest.raises(ModelNotFound, match="mine: no such model bundle"):
        find_model(Path("mine"))


def test_a_path_where_nothing_is(tmp_path: Path) -> None:
    for text in ("no/such", "none.zip", str(tmp_path / "none")):
        with pytest.raises(ModelNotFound, match="no such model bundle"):
            find_model(text)


def test_a_model_added_while_the_program_runs_is_found(own: Path, make_bundle: Make) -> None:
    make_bundle(own / "one", "one")
    assert find_model("one")

    make_bundle(own / "two", "two")
    assert find_model("two")


@pytest.mark.usefixtures("family")
def test_finding_is_quick() -> None:
    find_model("tiny")
    began = time.perf_counter()
    for _ in range(10):
        find_model("tiny")

    assert (time.perf_counter() - began) / 10 < 0.1


def test_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SRGAN_MODELS", "~/m")
    assert catalogue.user_folder() == tmp_path / "m"
    monkeypatch.delenv("SRGAN_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert catalogue.user_folder() == Path("/data/srgan/models")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert catalogue.user_folder() == tmp_path / ".local" / "share" / "srgan" / "models"


def test_a_models_folder_that_is_a_file(own: Path) -> None:
    own.write_text("not a folder")

    assert list_models() == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_there_but_no_bundle_is_said_to_be_none(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir() if kind == "folder" else (tmp_path / "photos").write_bytes(b"x")
    with pytest.raises(ModelNotFound, match=r"^photos: is not a model: a model is a folder or \.zip file"):
        find_model("photos")
