"""A corpus of two small packages that lie in the cache already, so that nothing is fetched."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scripts.corpora.listing import Corpus

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Source: nowhere

Files: *
Copyright: 2001 The Game
License: GPL-2+

Files: images/land/*
Copyright: 2005 Ada Painter
 2006 Bo Painter
License: CC-BY-SA-4.0
 the text

Files: images/land/old*.png
Copyright: none
License: public-domain
"""


def noisy(seed: int, width: int = 200, height: int = 160) -> Image.Image:
    """A sharp picture like no other."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((width, height), 0)
    return Image.fromarray(np.asarray(coarse) // 2 + random.integers(0, 100, (height, width, 3), np.uint8))


def as_bytes(picture: Image.Image, form: str = "png", **options: Any) -> bytes:
    stored = io.BytesIO()
    picture.save(stored, form, **options)
    return stored.getvalue()


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """``make_corpus(files, sets)``: one package "game" with these files, and these sets."""

    def make(files: dict[str, bytes], **sets: dict[str, Any]) -> Corpus:
        stored = io.BytesIO()
        with tarfile.open(fileobj=stored, mode="w:gz") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        sha256 = hashlib.sha256(stored.getvalue()).hexdigest()
        package = tmp_path / "cache" / "packages" / f"game-{sha256[:12]}.tgz"
        package.parent.mkdir(parents=True, exist_ok=True)
        package.write_bytes(stored.getvalue())
        whole = {
            "packages": {"game": {"registry": "npm", "version": "1.2", "sha256": sha256, "licence": "MIT"}},
            "sets": sets,
        }
        (tmp_path / "corpus.json").write_text(json.dumps(whole))
        return Corpus.model_validate(whole)

    return make
