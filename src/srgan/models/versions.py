"""A model in versions: what each training has made of it, and which one counts.

    NAME/20261128-210501/   a bundle, with manifest.json beside its files: what is known of it
    NAME/20261130-070000/
    NAME/latest             a text: the version that the folder stands for

`Bundle.open` and `find_model` take the folder as the bundle of its latest version. Nothing is ever deleted here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from srgan.atomic import write_whole
from srgan.errors import CannotWrite, InvalidConfig, ModelNotFound
from srgan.models.bundle import INFO_FILE, LATEST, VERSION, Bundle, latest_of, write_bundle
from srgan.models.catalogue import user_folder

MANIFEST = "manifest.json"


def publish(
    bundle: Bundle, root: Path, manifest: Mapping[str, Any], *, promote: bool, now: datetime | None = None
) -> Path:
    """Add ``bundle`` to the versions of its name in ``root``, with its ``manifest``; gives the version's folder.

    It becomes the latest if ``promote``, or if there is none yet. Raises `CannotWrite`, also where ROOT/NAME is a model
    without versions, which stays as it is.
    """
    folder = root / bundle.info.name
    if (folder / INFO_FILE).exists():
        raise CannotWrite(f"{folder}: is a model without versions; move it away, or choose another folder or name")
    time = now or datetime.now(UTC)
    while (folder / f"{time:%Y%m%d-%H%M%S}").exists():
        time += timedelta(seconds=1)
    target = folder / f"{time:%Y%m%d-%H%M%S}"
    write_bundle(target, bundle.info, {name: bundle.read(name) for name in bundle.info.files})
    write_whole(target / MANIFEST, json.dumps({**manifest, "version": target.name}, indent=1) + "\n")
    if promote or not (folder / LATEST).exists():
        write_whole(folder / LATEST, f"{target.name}\n")
    return target


def versions_of(folder: Path) -> list[str]:
    """The versions in ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if VERSION.fullmatch(path.name) and (path / INFO_FILE).is_file()
    )


def manifest_of(version: Path) -> dict[str, Any]:
    """What was noted of a version; empty where there is nothing that can be read."""
    try:
        found = json.loads((version / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def find_versions(model: str) -> Path:
    """The folder of versions ``model``: a path, or a name in the user's folder. Raises `ModelNotFound`."""
    for folder in (Path(model).expanduser(), user_folder() / model):
        if (folder / LATEST).is_file():
            return folder
    raise ModelNotFound(f"{model}: no such model with versions, here or in {user_folder()}")


def rollback(folder: Path, to: str | None = None) -> Path:
    """Make the version ``to`` the latest, by default the one before that which is; gives its folder.

    Raises `InvalidConfig` where there is none, and `CannotWrite`.
    """
    known, current = versions_of(folder), latest_of(folder).name
    if to is None:
        earlier = [version for version in known if version < current]
        if not earlier:
            raise InvalidConfig(f"{folder}: there is no version before {current}; there are {', '.join(known)}")
        to = earlier[-1]
    if to not in known:
        raise InvalidConfig(f"{folder}: there is no version {to}; there are {', '.join(known)}")
    write_whole(folder / LATEST, f"{to}\n")
    return folder / to
