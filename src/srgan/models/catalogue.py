"""Finding a model by name: those shipped with the package, those the user added, or a path to a bundle."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from srgan.errors import ModelNotFound, SrganError
from srgan.models.bundle import INFO_FILE, LATEST, Bundle

SHIPPED = Path(__file__).parent / "shipped"

log = logging.getLogger("srgan")


def user_folder() -> Path:
    """Where a user's own models live: ``$SRGAN_MODELS``, else the data folder of the platform's user."""
    if chosen := os.environ.get("SRGAN_MODELS"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or "~/.local/share"
    return Path(home).expanduser() / "srgan" / "models"


def list_models() -> list[Bundle]:
    """All installed models, shipped ones first, each group sorted by name. Damaged ones are logged and left out."""
    bundles = []
    for path in _paths():
        try:
            bundles.append(Bundle.open(path))
        except SrganError as error:
            log.warning("left out of the models: %s", error)
    return bundles


def find_model(name: str | os.PathLike[str], scale: float | None = None) -> Bundle:
    """Find a model by its name (`fast-x2`), its family (`fast`) or the path of a bundle.

    In a family, ``scale`` selects the member with the smallest sufficient scale, else the largest; the default is the
    x4 member, if there is one. A `pathlib.Path` is always a path; a string is a path if it has a separator, ends in
    ``.zip`` or ``model.toml``, or names a bundle in the current folder but no model. Raises `ModelNotFound`, which
    lists the available names, and `CorruptModel`.
    """
    text = os.fspath(name)
    separators = {os.sep, os.altsep or os.sep}
    if not isinstance(name, str) or separators & set(text) or text.endswith((".zip", INFO_FILE)):
        return Bundle.open(Path(text).expanduser())
    bundles = list_models()
    for bundle in bundles:
        if bundle.info.name == text:
            return bundle
    family = sorted((b for b in bundles if text and b.info.family == text), key=lambda b: b.info.scale)
    if family:
        wanted = 4.0 if scale is None else scale
        return next((b for b in family if b.info.scale >= wanted), family[-1])
    if text and Path(text, INFO_FILE).is_file():
        return Bundle.open(text)
    for path in _paths():
        if text == path.name.removesuffix(".zip"):
            return Bundle.open(path)  # damaged, which this will say, or known to itself by another name
    if text and Path(text).exists():
        raise ModelNotFound(f"{text}: is not a model: a model is a folder or .zip file that contains {INFO_FILE}")
    known = sorted({b.info.family or b.info.name for b in bundles} | {b.info.name for b in bundles})
    raise ModelNotFound(
        f"There is no model {text!r}. Models: {', '.join(known) or 'none'}; or give the path of a bundle"
    )


def _paths() -> Iterator[Path]:
    """Paths of possible bundles, in the order of `list_models`."""
    for folder in (SHIPPED, user_folder()):
        try:
            inside = sorted(folder.iterdir())
        except OSError:
            continue
        yield from (path for path in inside if path.suffix == ".zip" or _is_model(path))


def _is_model(path: Path) -> bool:
    """Whether the folder is a bundle, or one of versions."""
    return (path / INFO_FILE).is_file() or (path / LATEST).is_file()
