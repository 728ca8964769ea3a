"""Which outputs of a model are asked for, and what is put around the session that gives them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from srgan.errors import InvalidConfig
from srgan.models import Bundle, find_model
from srgan.models.info import MEMBERS
from srgan.runtime import RESIZE_MODELS, FixColour, SelfEnsemble
from srgan.runtime.disagreement import Disagreement, Trust
from srgan.runtime.opening import no_strategy
from srgan.runtime.session import Session

Wrapper = Callable[[Session], Session]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is wanted of a model beside the size; see `srgan.upscaler.Upscaler` for all of it."""

    tta: bool = False
    fix_colour: bool = False
    strategy: str | None = None
    trust: float = 0.0
    disagreement: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any], *, disagreement: bool) -> Wishes:
        """Those among the options of `Upscaler`."""
        known = {each.name for each in fields(cls)}
        return cls(disagreement=disagreement, **{name: options[name] for name in options if name in known})

    def __post_init__(self) -> None:
        if not 0 <= self.trust <= 1:
            raise InvalidConfig(f"trust must be a number from 0 to 1, not {self.trust}")

    @property
    def of_an_ensemble(self) -> bool:
        """Whether only an ensemble can fulfil them."""
        return self.strategy is not None or self.trust > 0 or self.disagreement

    def outputs(self, model: str | os.PathLike[str] | Bundle, scale: float | None) -> tuple[str, ...]:
        """The outputs to open ``model`` with. Raises `InvalidConfig` where it lacks them, and as `find_model` does."""
        if not self.of_an_ensemble:
            return ()
        name, there = _outputs_of(model, scale)
        pictures = tuple(output for output in there if output != MEMBERS)
        if self.strategy is not None and self.strategy not in pictures:
            raise no_strategy(name, there, self.strategy)
        if (self.disagreement or self.trust) and MEMBERS not in there:
            raise InvalidConfig(f"{name} is not an ensemble, so there are no members that could disagree")
        if self.disagreement:
            return (MEMBERS,)
        wanted = self.strategy or pictures[0]
        if not self.trust:
            return (wanted,)
        if "fidelity" not in there:
            raise InvalidConfig(f"{name} has no PSNR-trained member, which trust needs")
        return wanted, MEMBERS

    def wrapped(self, session: Session) -> Session:
        """``session`` with what the wishes put around it."""
        wrappers: list[tuple[bool, Wrapper]] = [
            (self.disagreement, Disagreement),
            (self.trust > 0 and not self.disagreement, partial(Trust, trust=self.trust)),
            (self.tta, SelfEnsemble),
            (self.fix_colour and not self.disagreement, FixColour),
        ]
        for wanted, wrap in wrappers:
            session = wrap(session) if wanted else session
        return session

    def unusual(self) -> dict[str, bool | str | float]:
        """What changes the result, for the record; the strategy is left to the session, which knows it in any case."""
        given = {"tta": self.tta, "fix_colour": self.fix_colour, "trust": self.trust}
        return {name: value for name, value in given.items() if value}


def _outputs_of(model: str | os.PathLike[str] | Bundle, scale: float | None) -> tuple[str, tuple[str, ...]]:
    """Name and outputs of ``model``."""
    if isinstance(model, str) and model in RESIZE_MODELS:
        return model, ()
    info = (model if isinstance(model, Bundle) else find_model(model, scale)).info
    return info.name, info.outputs
