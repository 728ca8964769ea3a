"""WebP and AVIF: their losses are made by the real encoders, on the CPU, a picture at a time."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor

from srgan.errors import MissingDependency


def through_file(picture: Tensor, form: str, quality: int) -> Tensor:
    """Encode ``picture`` (3 x H x W in [0, 1]) as "webp" or "avif" at ``quality`` and decode it again.

    Device and type stay. Raises `MissingDependency` when this build of Pillow cannot write ``form``.
    """
    from PIL import Image, features

    if not features.check(form):
        raise MissingDependency(f"Pillow with {form.upper()}", "train")
    levels = (picture.detach().cpu() * 255).round().clamp(0, 255).to(torch.uint8)
    stored = io.BytesIO()
    # One thread and the quickest effort: the artefacts are much the same, and workers are needed elsewhere.
    options = {"webp": {"method": 2}, "avif": {"speed": 8, "max_threads": 1}}[form]
    Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy()).save(stored, form, quality=quality, **options)
    decoded = np.array(Image.open(stored).convert("RGB"))
    return (torch.from_numpy(decoded).permute(2, 0, 1).float() / 255).to(picture)
