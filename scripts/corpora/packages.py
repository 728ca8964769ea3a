"""Packages: fetched with the registry's own client, checked by digest, and unpacked without being installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.corpora.listing import Package

from srgan.errors import InvalidDataset

MINUTES = 30
"""How long a client may take for one package."""


def unpacked(name: str, package: Package, cache: Path) -> Path:
    """The folder below ``cache`` with the files of the package, which is fetched unless it is there.

    Raises `InvalidDataset` without the client, and when the version cannot be had or is not what it was.
    """
    folder = cache / "unpacked" / f"{name}-{package.sha256[:12]}"
    if folder.is_dir():
        return folder
    file = _fetched(name, package, cache / "packages")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        inside = Path(work) / "files"
        inside.mkdir()
        if package.registry == "debian":
            _call(["dpkg-deb", "--extract", str(file), str(inside)], Path(work), f"{file}: cannot be unpacked")
        else:
            with tarfile.open(file) as archive:
                archive.extractall(inside, filter="data")
        inside.rename(folder)
    return folder


def _fetched(name: str, package: Package, folder: Path) -> Path:
    """The package file, whose digest is right."""
    target = folder / f"{name}-{package.sha256[:12]}{'.deb' if package.registry == 'debian' else '.tgz'}"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            _download(name, package, Path(work))
            found = sorted(Path(work).iterdir())
            if len(found) != 1:
                raise InvalidDataset(f"{name} {package.version}: the client brought {len(found)} files, not one")
            _check(found[0], package)
            found[0].rename(target)
    _check(target, package)
    return target


def _download(name: str, package: Package, folder: Path) -> None:
    if package.registry == "debian":
        command = ["apt-get", "download", f"{name}={package.version}"]
        # Without this apt wants a folder that its own user may write.
        command[1:1] = ["-q", "-o", "APT::Sandbox::User=root"]
        hint = f"`apt-get update` may help, else put the file into {folder.parent} yourself"
    else:
        command = ["npm", "pack", "--silent", f"{name}@{package.version}"]
        hint = f"put the file into {folder.parent} yourself"
    _call(command, folder, f"{name} {package.version} cannot be had from {package.registry} any more; {hint}")


def _call(command: Sequence[str], folder: Path, failure: str) -> None:
    """Carry out ``command`` in ``folder``; ``failure`` is what it means when it fails."""
    if shutil.which(command[0]) is None:
        raise InvalidDataset(f"the program {command[0]} is needed, and not installed")
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60 * MINUTES,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidDataset(f"{failure} ({command[0]} took more than {MINUTES} minutes)") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise InvalidDataset(f"{failure} ({said[-1] if said else command[0]})")


def _check(file: Path, package: Package) -> None:
    found = digest(file)
    if found != package.sha256:
        raise InvalidDataset(
            f"{file}: its SHA-256 is {found}, not {package.sha256}; it is not the package that is meant"
        )


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
