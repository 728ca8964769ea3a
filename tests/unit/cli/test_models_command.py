"""`srgan models`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.models import Bundle, catalogue


@pytest.fixture(autouse=True)
def _only_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundles: dict[str, Any]) -> None:
    """Whatever models the checkout ships, these tests see only their own."""
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path / "nothing")


def test_the_list_has_a_line_for_each_model(srgan: Callable[..., Any]) -> None:
    done = srgan("models", "list")
    heading, *lines = done.out.splitlines()
    assert done.code == 0
    assert heading.split() == ["NAME", "SCALE", "SIZE", "PSNR", "DESCRIPTION"]
    assert [line.split()[:2] for line in lines] == [["mine-x2", "x2"], ["mine-x4", "x4"]]
    assert "31.23 dB Set5" in lines[0]
    assert lines[0].endswith("For the tests.")


def test_the_list_as_json_holds_everything_known(srgan: Callable[..., Any], bundles: dict[str, Any]) -> None:
    document = json.loads(srgan("models", "list", "--json").out)
    assert [item["name"] for item in document] == ["mine-x2", "mine-x4"]
    assert document[1]["quality"][0]["psnr"] == 31.234
    assert document[1]["path"] == str(bundles["mine-x4"].path)
    assert document[1]["bytes"] == sum(file.stat().st_size for file in bundles["mine-x4"].path.iterdir())


def test_without_models_the_list_says_what_to_do(
    srgan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SRGAN_MODELS", str(tmp_path / "nothing"))
    done = srgan("models", "list")
    assert done.code == 0
    assert "There are no models" in done.out
    assert json.loads(srgan("models", "list", "--json").out) == []


def test_show_tells_the_facts_of_the_member_that_a_family_means(srgan: Callable[..., Any]) -> None:
    done = srgan("models", "show", "mine")
    facts = dict(line.split("  ", 1) for line in done.out.splitlines())
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    assert facts["name"] == "mine-x4"
    assert facts["network"] == "fast width=16"
    assert facts["parameters"] == "12,345"
    assert facts["quality: Set5"] == "31.23 dB, SSIM 0.8765 (bicubic 28.40 dB) on 5 pictures"
    assert facts["trained: corpus"] == "noise"
    assert facts["trained: loss features"] == "VGG19, AlexNet"
    assert "trained: parent" not in facts, "what is not known is left out"
    few = srgan("models", "show", "mine-x2").out
    assert "trained: corpus" in few
    assert "loss features" not in few


def test_show_as_json_is_the_whole_record(srgan: Callable[..., Any]) -> None:
    assert json.loads(srgan("models", "show", "mine-x2", "--json").out)["provenance"]["steps"] == 3


def test_path_is_where_the_files_are(srgan: Callable[..., Any], bundles: dict[str, Any]) -> None:
    assert Path(srgan("models", "path", "mine-x2").out.rstrip("\n")) == bundles["mine-x2"].path.resolve()
    assert Path(srgan("models", "path", bundles["mine-x4"].path).out.rstrip("\n")) == bundles["mine-x4"].path.resolve()


@pytest.mark.parametrize("verb", ["show", "path"])
def test_an_unknown_model_is_one_line_that_lists_the_others(verb: str, srgan: Callable[..., Any]) -> None:
    done = srgan("models", verb, "nothing")
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("srgan: error: There is no model 'nothing'. Models: mine, mine-x2, mine-x4")
    assert done.err.count("\n") == 1


def test_a_damaged_bundle_is_one_line_that_names_it(srgan: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.toml").write_text("name = 3")
    done = srgan("models", "show", tmp_path / "bad")
    assert done.code == 4
    assert done.err.startswith(f"srgan: error: {tmp_path / 'bad'}")
    assert done.err.count("\n") == 1


def test_the_group_alone_shows_its_verbs_as_a_mistake(srgan: Callable[..., Any]) -> None:
    done = srgan("models")
    assert (done.code, done.out) == (2, "")
    assert {"list", "show", "path"} <= set(done.err.split())


# --------------------------------------------------------------------------------------------------------- blending


@pytest.fixture
def blended(bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, float], Path, str]]:
    """How `blend_models` was called; it gives a bundle that is there already."""
    calls: list[tuple[dict[str, float], Path, str]] = []

    def blend(shares: dict[str, float], target: Path, *, name: str) -> Bundle:
        calls.append((shares, target, name))
        return bundles["mine-x4"]

    monkeypatch.setattr("srgan.training.blend_models", blend)
    return calls


def test_shares_reach_the_library_and_the_new_model_is_named(
    srgan: Callable[..., Any], blended: list[Any], bundles: dict[str, Bundle]
) -> None:
    done = srgan("models", "blend", "fast=0.3", "runs/a=b/bundle=1", "--output", "out/Soft.zip")
    assert blended == [({"fast": 0.3, "runs/a=b/bundle": 1.0}, Path("out/Soft.zip"), "soft")]
    assert (done.code, done.out.strip()) == (0, str(bundles["mine-x4"].path))
    assert "srgan upscale IN OUT --model" in done.err

    srgan("models", "blend", "fast=1", "photo-fast=1", "-o", "new", "--name", "between-x4")
    assert blended[1][2] == "between-x4"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["fast", "photo-fast=1", "-o", "new"], 2, "fast: must have the form MODEL=SHARE"),
        (["fast=much", "photo-fast=1", "-o", "new"], 2, "fast=much: must have the form MODEL=SHARE"),
        (["=1", "photo-fast=1", "-o", "new"], 2, "=1: must have the form MODEL=SHARE"),
        (["fast=1", "fast=2", "-o", "new"], 2, "given more than once"),
        (["fast=1", "photo-fast=1", "-o", "there"], 7, "there: exists already"),
        (["fast=1", "photo-fast=1"], 2, "--output"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(
    arguments: list[str],
    code: int,
    said: str,
    srgan: Callable[..., Any],
    blended: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("mine")
    done = srgan("models", "blend", *arguments)
    assert (done.code, done.out, blended) == (code, "", [])
    assert said in done.err
    assert (tmp_path / "there").read_text() == "mine"


# ------------------------------------------------------------------------------------------------------- versions


def test_rollback_makes_the_version_before_the_latest(
    srgan: Callable[..., Any], bundles: dict[str, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srgan.models.versions import publish

    monkeypatch.setenv("SRGAN_MODELS", str(tmp_path / "versioned"))
    first, second = (
        publish(bundles["mine-x4"], tmp_path / "versioned", {"judged by": "fd-squeeze", "distance": d}, promote=True)
        for d in (31.5, 40.25)
    )
    done = srgan("models", "rollback", "mine-x4")
    assert (done.code, done.out) == (0, f"{first}\n")
    assert "fd-squeeze: 31.5" in done.err
    assert srgan("models", "path", "mine-x4").out == f"{first}\n"
    document = json.loads(srgan("models", "rollback", "mine-x4", "--to", second.name, "--json").out)
    assert document == {"path": str(second), "version": second.name, "versions": [first.name, second.name]}
    assert srgan("models", "rollback", "mine-x4", "--to", "never").code == 2
    assert "no such model with versions" in srgan("models", "rollback", "mine").err
