"""Curves and pictures for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srgan.errors import MissingDependency

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Curves:
    """Scalars and pictures for TensorBoard in ``folder``, after ``step``; without a folder they go nowhere."""

    def __init__(self, folder: Path | None, step: int = 0) -> None:
        self._writer: Any = None
        if folder:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingDependency("tensorboard", "train") from error
            # What an interrupted run wrote after its checkpoint is about to be written again.
            self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each named curve."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def show(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Add a picture, H x W x 3."""
        if self._writer:
            self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is pending."""
        if self._writer:
            self._writer.close()
