"""Bundles of three networks: what they say, what they may hold, and a part of one under the usual names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.errors import CorruptModel, UnsupportedModel
from srgan.models import Bundle, LatentInfo, ModelInfo, write_bundle
from srgan.models.bundle import KNOWN_FILES, PARTS, known_files
from srgan.models.info import info_from_toml, info_to_toml

OPTIONS = {"netG1": {"form": "narrow", "z": 4}, "netG2": {"form": "narrow"}, "netRS": {"form": "origin", "width": 8}}
FILES = {name: name.encode() for name in ("generator.onnx", "decoder.onnx", "encoder.onnx", "weights.safetensors")}


def latent(**changes: Any) -> ModelInfo:
    said = {"noise": 4, "code": (6, 4, 4), "side": 64, "refiner": "any-x8"}
    fields = {"name": "faces", "network": "latent", "network_options": OPTIONS, "scale": 1, "radius": 0}
    return ModelInfo(**{**fields, "latent": said, **changes})


def test_the_description_comes_back() -> None:
    info = latent()

    text = info_to_toml(info)

    assert info_from_toml(text, "here") == info
    assert "[latent]" in text
    assert info.latent == LatentInfo(noise=4, code=(6, 4, 4), side=64, refiner="any-x8")
    assert info.latent.reduction == 16


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"noise": 0}, "latent.noise"),
        ({"code": (6, 4, 3)}, "code must be positive and square, and divide the side"),
        ({"code": (6, 5, 5)}, "code must be positive and square, and divide the side"),
        ({"code": (0, 4, 4)}, "code must be positive and square, and divide the side"),
        ({"refiner": "../elsewhere"}, "latent.refiner"),
        ({"typical": 1}, "latent.typical"),
    ],
)
def test_a_description_that_makes_no_sense(wrong: dict[str, Any], said: str) -> None:
    fields = {"noise": 4, "code": (6, 4, 4), "side": 64, **wrong}
    text = info_to_toml(latent(latent=None)) + "\n[latent]\n" + "\n".join(
        f"{key} = {list(value) if isinstance(value, tuple) else repr(value)}" for key, value in fields.items()
    )  # fmt: skip

    with pytest.raises(CorruptModel) as caught:
        info_from_toml(text, "here")

    assert said in str(caught.value)


def test_each_kind_has_its_own_files(tmp_path: Path) -> None:
    assert known_files(latent(latent=None)) == KNOWN_FILES
    assert set(known_files(latent())) == {
        "weights.safetensors",
        *(f"{part}.{form}" for part in PARTS for form in ("onnx", "ncnn.param", "ncnn.bin")),
    }
    with pytest.raises(ValueError, match=r"not files of a bundle: .'model\.onnx'"):
        write_bundle(tmp_path / "a", latent(), {"model.onnx": b""})
    with pytest.raises(ValueError, match=r"not files of a bundle: .'decoder\.onnx'"):
        write_bundle(tmp_path / "a", latent(latent=None), {"decoder.onnx": b""})


@pytest.mark.parametrize("name", ["faces", "faces.zip"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_a_bundle_under_the_usual_names(part: str, name: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / name, latent(), FILES).part(part)

    assert bundle.has("model.onnx")
    assert bundle.read("model.onnx") == f"{part}.onnx".encode()
    assert bundle.read("weights.safetensors") == b"weights.safetensors"
    assert not bundle.has("model.ncnn.param")
    with pytest.raises(CorruptModel, match=rf"the bundle has no {part}\.ncnn\.bin"):
        bundle.read("model.ncnn.bin")
    bundle.verify()
    assert (bundle.info.name, bundle.info.part, bundle.info.network) == ("faces", part, PARTS[part])
    assert bundle.info.network_options == OPTIONS[PARTS[part]]
    assert bundle.info.digest == Bundle.open(tmp_path / name).info.digest != ""


def test_what_a_part_takes(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "faces", latent(), FILES)
    taken = {part: bundle.part(part).info for part in PARTS}

    assert {part: info.channels for part, info in taken.items()} == {"generator": 4, "decoder": 6, "encoder": 3}
    assert {part: info.multiple for part, info in taken.items()} == {"generator": 1, "decoder": 1, "encoder": 16}


def test_other_models_have_no_parts(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"tiny-x4 enlarges pictures .* srgan upscale IN OUT --model tiny-x4"):
        make_bundle(tmp_path / "tiny").part("decoder")
