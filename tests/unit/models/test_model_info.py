"""`model.toml`: what is written is read back, and what is wrong in one is said."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from srgan.errors import CorruptModel
from srgan.models import ModelInfo, Provenance, Quality
from srgan.models.info import info_from_toml, info_to_toml

ODD_TEXTS = [
    "",
    "plain",
    'quotes " and \\ backslashes',
    "lines\nand\ttabs\r\n",
    "\x00\x01\x1f\x7f\x80\u2028",
    "größer 图像 🦊",
    "'''\"\"\"",
    "[table] # comment = 1",
    "ends with a backslash\\",
]


def info(**changes: Any) -> ModelInfo:
    return ModelInfo(**{"name": "fast-x4", "network": "fast", "scale": 4, "radius": 11, **changes})


def round_trip(before: ModelInfo) -> ModelInfo:
    return info_from_toml(info_to_toml(before), "here")


def test_a_full_model_comes_back() -> None:
    full = info(
        family="fast",
        version="2.1.0",
        description="Photographs, four times larger.",
        network_options={"width": 48, "expanded": False, "gains": [0.5, 1.0]},
        channels=1,
        value_range=(-1.0, 1.0),
        multiple=2,
        minimum=8,
        parameters=209_184,
        macs_per_pixel=207_792,
        working_bytes_per_pixel=1234,
        licence="MIT",
        provenance=Provenance(
            corpus="198 photographs",
            steps=30_000,
            seed=0,
            commit="0123abcd",
            config_sha256="ff",
            loss_features=("SqueezeNet 1.1 (ImageNet, Caffe release)", "VGG19"),
        ),
        quality=(
            Quality(dataset="Set5", pictures=5, psnr=31.5, ssim=0.89, baseline_psnr=28.4),
            Quality(dataset="Set14", pictures=14, psnr=28.1, ssim=0.77),
        ),
        files={"model.onnx": "0" * 64, "weights.safetensors": "a" * 64},
    )

    assert round_trip(full) == full


def test_defaults_are_not_written() -> None:
    text = info_to_toml(info())

    assert tomllib.loads(text) == {"name": "fast-x4", "network": "fast", "scale": 4, "radius": 11}


def test_a_seed_of_zero_is_not_taken_for_no_seed() -> None:
    assert round_trip(info(provenance=Provenance(seed=0))).provenance.seed == 0
    assert round_trip(info(provenance=Provenance(steps=1))).provenance.seed is None


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_come_back(text: str) -> None:
    before = info(description=text, provenance=Provenance(corpus=text), network_options={text: text, "list": [text]})

    assert round_trip(before) == before


@pytest.mark.parametrize(
    "options",
    [
        {"deep": {"er": {"est": 1}, "flat": True}, "after": "x"},
        {"blocks": [{"width": 16}, {"width": 32, "more": {"a": 1}}]},
        {"mixed": [1, {"a": [2, {"b": 3}]}, "x"], "nested": [[1, 2], [3]]},
        {"numbers": [0, -1, 10**30, 1e-7, 1.5e300, -0.0], "empty": [], "none": {}},
        {"dotted.key": 1, "spaced key": 2, "": 3, 'quo"ted': {"a.b": 4}},
    ],
)
def test_nested_options_come_back(options: dict[str, Any]) -> None:
    assert round_trip(info(network_options=options)).network_options == options


def test_numbers_without_end_come_back() -> None:
    options = round_trip(info(network_options={"inf": float("inf"), "down": float("-inf"), "nan": float("nan")}))

    assert repr(options.network_options) == repr({"inf": float("inf"), "down": float("-inf"), "nan": float("nan")})


def test_an_option_that_is_none_is_left_out() -> None:
    assert round_trip(info(network_options={"a": None, "b": {"c": None, "d": 1}})).network_options == {"b": {"d": 1}}


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(options=st.dictionaries(st.text(max_size=8), VALUES, max_size=4), description=st.text())
def test_any_options_come_back(options: dict[str, Any], description: str) -> None:
    before = info(network_options=options, description=description)

    assert round_trip(before) == before


def test_text_that_is_not_toml_is_refused_with_its_place() -> None:
    with pytest.raises(CorruptModel, match=r"^models/bad: model\.toml is not valid TOML: .*line 2"):
        info_from_toml('name = "a"\nnetwork = = 1\n', "models/bad")


def test_a_hostile_depth_is_refused() -> None:
    with pytest.raises(CorruptModel, match="not valid TOML"):
        info_from_toml("a = " + "[" * 100_000, "here")


def test_all_faults_are_told_at_once() -> None:
    text = 'name = "Not A Name"\nnetwork = "fast"\nscale = 99\nradius = -1\nextra = 1\n[provenance]\nsteps = "many"\n'

    with pytest.raises(CorruptModel) as caught:
        info_from_toml(text, "here")

    message = str(caught.value)
    assert message.startswith("here: model.toml is not valid: ")
    for field in ("name:", "scale:", "radius:", "extra:", "provenance.steps:"):
        assert field in message


@pytest.mark.parametrize("missing", ["name", "network", "scale", "radius"])
def test_what_every_model_needs(missing: str) -> None:
    values = {"name": '"a"', "network": '"fast"', "scale": "4", "radius": "1"}
    del values[missing]

    with pytest.raises(CorruptModel, match=f"{missing}: Field required"):
        info_from_toml("\n".join(f"{key} = {value}" for key, value in values.items()), "here")


@pytest.mark.parametrize("name", ["", "Fast", "-fast", "a b", "../up", "a/b", "a" * 65, "fäst", "fast\n"])
def test_names_are_plain(name: str) -> None:
    with pytest.raises(ValidationError):
        info(name=name)


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../model.onnx", "/etc/passwd", "a/b", "a\\b", "a\0b", ".hidden", "c:x"]
)
def test_file_names_are_plain(name: str) -> None:
    with pytest.raises(ValidationError):
        info(files={name: "0" * 64})


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64])
def test_hashes_are_sha256(digest: str) -> None:
    with pytest.raises(ValidationError):
        info(files={"model.onnx": digest})


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        info().scale = 2  # type: ignore[misc]
