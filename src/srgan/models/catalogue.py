"""Finding a model by name: those shipped with the package, those the user added, or a path to a bundle."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from srgan.errors import ModelNotFound, SrganError
from srgan.models.bundle import INFO_FILE, Bundle

SHIPPED = Path(__file__).parent / "shipped"
DEFAULT_MODEL = "fast"


def user_folder() -> Path:
    """Where a user's own models live: ``$SRGAN_MODELS``, else the data folder of the platform's user."""
    if chosen := os.environ.get("SRGAN_MODELS"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or "~/.local/share"
    return Path(home).expanduser() / "srgan" / "models"


def list_models() -> list[Bundle]:
    """All models that can be named, shipped ones first, each group by name. Damaged ones are left out."""
    bundles = []
    for folder in (SHIPPED, user_folder()):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if path.suffix == ".zip" or (path / INFO_FILE).is_file():
                try:
                    bundles.append(Bundle.open(path))
                except SrganError:
                    continue
    return bundles


def find_model(name: str | os.PathLike[str], scale: float | None = None) -> Bundle:
    """The model that ``name`` means: a path to a bundle, a model's name (`fast-x2`) or a family (`fast`).

    In a family, ``scale`` picks the member whose own scale is the smallest that reaches it, else the largest; without
    ``scale`` the x4 member is taken where there is one. Raises `ModelNotFound`, which lists the names there are.
    """
    text = os.fspath(name)
    if os.sep in text or text.endswith((".zip", INFO_FILE)) or (os.altsep and os.altsep in text):
        return Bundle.open(text)
    bundles = _listed(os.environ.get("SRGAN_MODELS"))
    for bundle in bundles:
        if bundle.info.name == text:
            return bundle
    family = sorted((b for b in bundles if b.info.family == text), key=lambda b: b.info.scale)
    if not family:
        known = sorted({b.info.family or b.info.name for b in bundles} | {b.info.name for b in bundles})
        raise ModelNotFound(
            f"There is no model {text!r}. Models: {', '.join(known) or 'none'}; or give the path of a bundle"
        )
    wanted = 4.0 if scale is None else scale
    return next((b for b in family if b.info.scale >= wanted), family[-1])


@cache
def _listed(_environment: str | None) -> tuple[Bundle, ...]:
    return tuple(list_models())
