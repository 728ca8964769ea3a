"""The queue's file: what is to be trained, in which order, and how far each entry is."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from srgan.atomic import write_whole
from srgan.config import load_config
from srgan.errors import InvalidConfig
from srgan.settings import Section
from srgan.training.config import ModelName, TrainConfig
from srgan.training.latent.settings import LatentConfig
from srgan.training.picture_settings import PositiveInt
from srgan.training.recipes import DistilConfig

_END = re.compile(r"(?:^[ \t]*(?:#[^\n]*)?\n)*\Z", re.MULTILINE)
"""Empty lines and comments at the end of a table, which are about the next one."""
DATASETS = Path("datasets")
"""What training files have in front of the names of folders."""


class Entry(Section):
    """One training, and the bundle that it is to become."""

    name: str = Field(min_length=1, description="What it is called here.")
    file: Path = Field(description="Training file, relative to the queue's file.")
    becomes: ModelName = Field(description="Name of the run and of the bundle.")
    init_from: str = Field(default="", description="Model to start from, instead of that of the training file.")
    steps: PositiveInt | None = Field(default=None, description="Steps, instead of those of the training file.")
    hours: float | None = Field(default=None, gt=0, description="Hours after which it ends where it is.")
    trial: bool = Field(
        default=False, description="Made to be compared: it is never flat, and judged, but not shipped, by a harvest."
    )
    flat_after: float | None = Field(
        default=None, gt=0, description="Its own `Queue.flat_after`: a long schedule gains most at its end."
    )
    sets: tuple[str, ...] = Field(default=(), description="Other changes of the training file, as KEY=VALUE.")
    state: Literal["waiting", "flat", "done", "failed"] = Field(default="waiting", description="Only waiting ones run.")
    step: int = Field(default=0, ge=0, description="Where it is.")
    shipped: int = Field(default=0, ge=0, description="The step whose weights became the bundle; 0 for none of its.")
    result: str = Field(default="", description="What came of it so far.")


class Queue(Section):
    """Trainings in the order in which they are done."""

    flat_after: float = Field(default=1.0, gt=0, description="Hours without a better validation that end an entry.")
    folders: dict[str, str] = Field(
        default_factory=dict, description="Where in the data folder that is which training files call datasets/..."
    )
    entry: tuple[Entry, ...] = Field(default=(), description="The trainings.")

    @model_validator(mode="after")
    def _told_apart(self) -> Queue:
        for key in ("name", "becomes"):
            values = [getattr(entry, key) for entry in self.entry]
            if doubled := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"entry.{key}: {doubled[0]} is there twice")
        return self


@dataclass(frozen=True)
class QueueFile:
    """The queue on disk, and where its trainings find pictures.

    ``data`` are the folders that `Queue.folders` are in, the first one before the others; without any the paths of
    training files stand as they are.
    """

    path: Path
    data: tuple[Path, ...] = ()

    def read(self) -> Queue:
        """The queue as it is now. Raises `InvalidConfig`."""
        return load_config(Queue, self.path)

    def origin(self, entry: Entry) -> str:
        """What a bundle says of the training file that it was made with."""
        file = "/".join((self.path.parent / entry.file).resolve().parts[-2:])
        changes = [*([f"steps={entry.steps}"] if entry.steps else []), *entry.sets]
        changes += [f"network.init_from={entry.init_from}"] if entry.init_from else []
        return f"{file} with {' '.join(changes)}" if changes else file

    def find(self, name: str) -> Entry:
        """The entry of that name. Raises `InvalidConfig`."""
        entries = self.read().entry
        for entry in entries:
            if entry.name == name:
                return entry
        raise InvalidConfig(f"{self.path}: has no entry {name!r}, but {', '.join(e.name for e in entries) or 'none'}")

    def config(self, entry: Entry, **flags: Any) -> TrainConfig:
        """The training of ``entry``; ``flags`` are values of the training file, with two underscores for each dot.

        Raises `InvalidConfig`.
        """
        own = {"steps": entry.steps, "network.init_from": entry.init_from or None, "output.name": entry.becomes}
        flags = {key.replace("__", "."): value for key, value in flags.items()}
        config = load_config(TrainConfig, self.path.parent / entry.file, sets=entry.sets, flags=own | flags)
        data, judged = config.data, config.validation
        more: dict[str, Any] = {}
        if isinstance(config, DistilConfig) and config.teacher.store:
            store = config.output.runs.parent / "targets"  # several runs share it, and it is no folder of pictures
            more["teacher"] = config.teacher.model_copy(update={"store": store})
        if isinstance(config, LatentConfig):
            section = config.refiner
            folder = section.validation_folder and self.locate(section.validation_folder)
            moved = {"folders": tuple(map(self.locate, section.folders)), "validation_folder": folder}
            more["refiner"] = section.model_copy(update=moved)
        return config.model_copy(
            update={
                **more,
                "data": data.model_copy(
                    update={
                        "folders": tuple(map(self.locate, data.folders)),
                        "low_folders": tuple(map(self.locate, data.low_folders)),
                    }
                ),
                "validation": judged.model_copy(
                    update={
                        "folder": judged.folder and self.locate(judged.folder),
                        "low_folder": judged.low_folder and self.locate(judged.low_folder),
                    }
                ),
            }
        )

    def locate(self, folder: Path) -> Path:
        """Where ``folder``, as training files call it, is on this machine."""
        known = self.read().folders.get(folder.as_posix())
        if known is None or not self.data:
            return folder
        places = [data / known for data in self.data]
        return next((place for place in (*places, folder) if place.exists()), places[0])

    def note(self, name: str, **values: Any) -> None:
        """Write ``values`` into the entry ``name``, and leave all else, comments too, as it is. Raises `CannotWrite`.

        Raises `InvalidConfig` for an entry that is not there, and for a form of TOML that this cannot change.
        """
        self.find(name)
        before = self.path.read_text("utf-8")
        # The table of an entry begins with its heading and ends with the next.
        parts = re.split(r"^(?=\[)", before, flags=re.MULTILINE)
        for index, part in enumerate(parts):
            if part.startswith("[[entry]]") and tomllib.loads(part)["entry"][0].get("name") == name:
                parts[index] = _changed(part, values)
        after = "".join(parts)
        written: dict[str, Any] = next((e for e in tomllib.loads(after)["entry"] if e["name"] == name), {})
        if any(written.get(key) != value for key, value in values.items()):
            raise InvalidConfig(f"{self.path}: write the entry {name} as a table [[entry]] with a key on each line")
        if after != before:
            write_whole(self.path, after)


def _changed(part: str, values: dict[str, Any]) -> str:
    """The text of one table with ``values`` in it: in place of those there are, else behind the last key."""
    for key, value in values.items():
        line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
        part, found = re.subn(rf"^{key} *=.*$", line.replace("\\", r"\\"), part, count=1, flags=re.MULTILINE)
        if not found:
            end = _END.search(part)
            place = end.start() if end else len(part)
            part = f"{part[:place]}{line}\n{part[place:]}"
    return part
