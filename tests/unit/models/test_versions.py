"""Models in versions: each is kept, one is the latest, and `srgan models rollback` goes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from srgan.errors import CannotWrite, CorruptModel, InvalidConfig, ModelNotFound
from srgan.models import Bundle, catalogue, find_model, list_models
from srgan.models.versions import MANIFEST, find_versions, latest_of, manifest_of, publish, rollback, versions_of

Make = Callable[..., Bundle]
NOON = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models; there are no others."""
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path / "none")
    monkeypatch.setenv("SRGAN_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def three(root: Path, tmp_path: Path, make_bundle: Make) -> Path:
    """Three versions of `tiny-x4`, the first two of which became the latest."""
    for number, promote in enumerate([False, True, False]):
        bundle = make_bundle(tmp_path / str(number), description=f"try {number}")
        publish(bundle, root, {"distance": 30.0 - number}, promote=promote, now=NOON.replace(hour=12 + number))
    return root / "tiny-x4"


def test_the_first_is_the_latest_and_a_later_one_where_it_is_promoted(three: Path) -> None:
    assert versions_of(three) == ["20261128-120000", "20261128-130000", "20261128-140000"]
    assert latest_of(three).name == "20261128-130000"
    assert Bundle.open(three).info.description == "try 1"
    assert manifest_of(three / "20261128-140000") == {"distance": 28.0, "version": "20261128-140000"}


def test_a_model_is_found_by_its_name_and_listed_once(three: Path) -> None:
    assert find_model("tiny-x4").path == three / "20261128-130000"
    assert [bundle.info.description for bundle in list_models()] == ["try 1"]
    find_model("tiny-x4").verify()


def test_two_of_one_second_are_two_versions(root: Path, tmp_path: Path, make_bundle: Make) -> None:
    paths = [publish(make_bundle(tmp_path / "one"), root, {}, promote=False, now=NOON) for _ in range(2)]
    assert [path.name for path in paths] == ["20261128-120000", "20261128-120001"]
    assert latest_of(root / "tiny-x4") == paths[0]


def test_a_model_without_versions_is_left_alone(root: Path, tmp_path: Path, make_bundle: Make) -> None:
    old = make_bundle(root / "tiny-x4", description="by hand")
    with pytest.raises(CannotWrite, match="is a model without versions"):
        publish(make_bundle(tmp_path / "one"), root, {}, promote=True)
    assert Bundle.open(old.path).info.description == "by hand"


def test_rollback_goes_one_back_or_to_a_version(three: Path) -> None:
    assert rollback(three).name == "20261128-120000"
    assert Bundle.open(three).info.description == "try 0"
    with pytest.raises(InvalidConfig, match="there is no version before 20261128-120000; there are 2026"):
        rollback(three)
    assert rollback(three, "20261128-140000").name == "20261128-140000"
    assert find_model("tiny-x4").info.description == "try 2"
    with pytest.raises(InvalidConfig, match="there is no version 20200101-000000"):
        rollback(three, "20200101-000000")
    assert len(versions_of(three)) == 3


def test_versions_are_found_by_name_and_by_folder(three: Path) -> None:
    assert find_versions("tiny-x4") == find_versions(str(three)) == three
    with pytest.raises(ModelNotFound, match="fast: no such model with versions"):
        find_versions("fast")


@pytest.mark.parametrize("text", ["", "../../etc", "20261128"])
def test_a_latest_that_names_no_version_is_refused(text: str, three: Path) -> None:
    (three / "latest").write_text(text)
    with pytest.raises(CorruptModel, match="must name a version"):
        Bundle.open(three)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_manifest_that_cannot_be_read_says_nothing(text: str, three: Path) -> None:
    (three / "20261128-120000" / MANIFEST).write_text(text)
    assert manifest_of(three / "20261128-120000") == {}
    assert json.loads((three / "20261128-130000" / MANIFEST).read_text())["distance"] == 29.0
