"""`scripts/render_critters.py`, with stand-ins for the libraries that draw."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

FREE = {"meta": {"license": {"name": "CC0 1.0"}, "creator": {"name": "Somebody"}, "source": {"url": "https://a.b"}}}


@pytest.fixture
def script(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the script. A drawing is one flat colour, that of its seed's number; ``drawn`` counts them."""
    styles = tmp_path / "dicebear_styles"
    styles.mkdir()
    (styles / "__init__.py").touch()
    (styles / "critters.json").write_text(json.dumps(FREE))
    (styles / "initials.json").write_text(json.dumps(FREE))
    (styles / "paid.json").write_text(json.dumps({"meta": {"license": {"name": "CC BY 4.0"}}}))
    monkeypatch.syspath_prepend(tmp_path)
    drawn: list[str] = []

    def svg_to_bytes(*, svg_string: str, width: int, height: int, **_: Any) -> bytes:
        drawn.append(svg_string)
        content = io.BytesIO()
        Image.new("RGB", (width, height), (int(svg_string.rpartition("-")[2]), 1, 2)).save(content, "PNG")
        return content.getvalue()

    def avatar(style: Any, options: dict[str, str]) -> Any:
        return SimpleNamespace(to_string=lambda: options["seed"])

    dicebear, renderer = ModuleType("dicebear"), ModuleType("resvg_py")
    dicebear.Avatar, dicebear.Style = avatar, lambda known: known  # type: ignore[attr-defined]
    renderer.svg_to_bytes = svg_to_bytes  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dicebear", dicebear)
    monkeypatch.setitem(sys.modules, "resvg_py", renderer)
    spec = importlib.util.spec_from_file_location("render_critters", root / "scripts" / "render_critters.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.version = lambda name: "1.0"
    module.drawn = drawn
    yield module
    sys.modules.pop("dicebear_styles", None)


def call(script: Any, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["render_critters.py", *map(str, words)])
    script.main()


def test_numbers_become_pictures_of_their_size_with_a_licence(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(script, monkeypatch, tmp_path / "out", "--start", 40, "--count", 3, "--size", 64)
    names = [f"{number:07d}.webp" for number in (40, 41, 42)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*names, "LICENCE.txt"]
    with Image.open(tmp_path / "out" / names[1]) as picture:
        assert (picture.size, picture.getpixel((5, 5))) == ((64, 64), (41, 1, 2))
    said = json.loads((tmp_path / "out" / "LICENCE.txt").read_text())
    assert (said["licence"]["name"], said["creator"]) == ("CC0 1.0", "Somebody")
    assert set(said["drawn with"]) == {"dicebear-core", "dicebear-styles", "resvg-py"}


def test_what_is_there_is_kept(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(script, monkeypatch, tmp_path / "out", "--count", 2)
    call(script, monkeypatch, tmp_path / "out", "--count", 3)
    assert script.drawn == ["critters-0", "critters-1", "critters-2"]
    assert "3 pictures of 64 px, 1 of them new" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("paid", "the style paid is under CC BY 4.0, not CC0 1.0"),
        ("initials", "the style initials needs fonts"),
        ("ghost", "has no style 'ghost'"),
    ],
)
def test_styles_that_are_not_free_or_not_there_are_refused(
    style: str, said: str, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=said):
        call(script, monkeypatch, tmp_path / "out", "--style", style)
    assert not (tmp_path / "out").exists()


def test_without_the_libraries_it_says_what_installs_them(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dicebear_styles", None)
    with pytest.raises(SystemExit, match=r"pip install -r scripts/render_critters\.txt"):
        call(script, monkeypatch, tmp_path / "out")
