"""Where the curves of a training go, and its samples: the run's own files, TensorBoard, Weights & Biases.

Each is a `Sink`; `open_curves` makes those that the training file asks for, and training talks to all of them at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from srgan.errors import CannotWrite, InvalidConfig, MissingDependency
from srgan.training.config import TrainConfig
from srgan.training.runs import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WANDB_ID = "wandb-id"
"""The file in a run's folder by which an interrupted run goes on as the same one."""


class Sink(Protocol):
    """One place for curves. Steps are those of the generator; pictures are H x W x 3."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve of ``values``."""

    def judge(self, step: int, figures: Mapping[str, float], *, loss: float, seconds: float) -> None:
        """Add the figures of a validation, with the last loss and the time that training has taken."""

    def show(self, step: int, pixels: NDArray[np.uint8], caption: str) -> None:
        """Add a picture of samples, and what it shows from left to right."""

    def close(self) -> None:
        """Write what is pending."""


class Curves:
    """All of ``sinks`` as one."""

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks = sinks

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        for sink in self._sinks:
            sink.add(step, values)

    def judge(self, step: int, figures: Mapping[str, float], *, loss: float, seconds: float) -> None:
        """See `Sink`."""
        for sink in self._sinks:
            sink.judge(step, figures, loss=loss, seconds=seconds)

    def show(self, step: int, pixels: NDArray[np.uint8], caption: str) -> None:
        """See `Sink`."""
        for sink in self._sinks:
            sink.show(step, pixels, caption)

    def close(self) -> None:
        """See `Sink`."""
        for sink in self._sinks:
            sink.close()


def open_curves(config: TrainConfig, run: Run, step: int) -> Curves:
    """The curves of ``run``, which goes on behind ``step``. Raises `MissingDependency`, `InvalidConfig`."""
    sinks: list[Sink] = [Files(run)]
    if config.output.tensorboard:
        sinks.append(TensorBoard(run.folder, step))
    if config.output.wandb:
        sinks.append(Wandb(config, run))
    return Curves(sinks)


class Files:
    """The run's own folder: figures of validations as CSV, samples as PNG."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing: only validations are kept."""

    def judge(self, step: int, figures: Mapping[str, float], *, loss: float, seconds: float) -> None:
        """A line of `curve.csv`. Raises `CannotWrite`."""
        self._run.note({"step": step, "seconds": round(seconds, 1), "loss": loss, **figures})

    def show(self, step: int, pixels: NDArray[np.uint8], caption: str) -> None:
        """A picture in `samples`. Raises `CannotWrite`."""
        self._run.show(step, pixels)

    def close(self) -> None:
        """Nothing is pending."""


class TensorBoard:
    """Event files in ``folder``, behind ``step``."""

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependency("tensorboard", "train") from error
        # What an interrupted run wrote after its checkpoint is about to be written again.
        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def judge(self, step: int, figures: Mapping[str, float], *, loss: float, seconds: float) -> None:
        """The figures as curves ``validation/...``."""
        self.add(step, {f"validation/{name}": value for name, value in figures.items()})

    def show(self, step: int, pixels: NDArray[np.uint8], caption: str) -> None:
        """See `Sink`."""
        self._writer.add_image(caption, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """See `Sink`."""
        self._writer.close()


class Wandb:
    """A run of the project ``config.output.wandb`` of Weights & Biases, with what TensorBoard gets and the settings.

    Its files are in the run's folder. Who is meant, and whether anything is sent at all, is for wandb's own settings to
    say: WANDB_API_KEY or ``wandb login``, WANDB_MODE. Code, commits and console output stay here.
    """

    def __init__(self, config: TrainConfig, run: Run) -> None:
        try:
            import wandb
        except ImportError as error:
            raise MissingDependency("wandb", "wandb") from error
        self._image = wandb.Image
        try:
            self._run: Any = wandb.init(
                project=config.output.wandb,
                dir=str(run.folder),
                id=_wandb_id(run),
                resume="allow",
                name=f"{config.output.name}/{run.folder.name}",
                config=config.model_dump(mode="json"),
                settings=wandb.Settings(console="off", save_code=False, disable_code=True, disable_git=True),
            )
        except wandb.errors.Error as error:
            said = " ".join(str(error).split()).rstrip(".")
            raise InvalidConfig(
                f"output.wandb: {said}. Log in with `wandb login`, or set WANDB_MODE=offline in the environment"
            ) from error
        # Not wandb's own count of steps, which cannot go back to a checkpoint.
        self._run.define_metric("*", step_metric="step")

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        self._run.log({**values, "step": step})

    def judge(self, step: int, figures: Mapping[str, float], *, loss: float, seconds: float) -> None:
        """The figures as curves ``validation/...``."""
        self.add(step, {f"validation/{name}": value for name, value in figures.items()})

    def show(self, step: int, pixels: NDArray[np.uint8], caption: str) -> None:
        """See `Sink`."""
        self._run.log({caption: self._image(pixels), "step": step})

    def close(self) -> None:
        """See `Sink`."""
        self._run.finish()


def _wandb_id(run: Run) -> str:
    """The name by which wandb knows ``run``, the same each time. Raises `CannotWrite`."""
    path = run.folder / WANDB_ID
    try:
        if not path.exists():
            path.write_text(secrets.token_hex(8))
        return path.read_text().strip()
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror or error}") from error
