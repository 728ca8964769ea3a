"""All errors that srgan raises on purpose.

    SrganError
    ├── InvalidImage         the input is not a picture that can be read
    ├── LimitExceeded        the input is larger than the limits allow
    ├── InvalidConfig        a setting is unknown, out of range or contradictory
    ├── ModelNotFound        no model of that name
    ├── UnsupportedModel     a valid model that cannot do what was requested
    ├── CorruptModel         a model whose files are damaged or do not belong together
    ├── MissingDependency    an optional library is not installed
    ├── DeviceUnavailable    the requested device or backend is not available
    ├── Closed               a session or model that was closed is used again
    ├── OutOfMemory          the work does not fit into memory, even in the smallest tiles
    ├── UpscaleFailed        the network produced no usable output in any attempt
    ├── CannotWrite          the output could not be written; nothing was left half-written
    ├── InvalidDataset       a folder of training or reference pictures cannot be used
    ├── TrainingFailed       training cannot continue
    └── Cancelled            the user stopped the work

Errors are named by what the caller can do about them. The docstring of a class is its message when none is given.
They know nothing of exit codes or HTTP statuses: the command line and the web service keep their own tables.
"""

from __future__ import annotations

import inspect


class SrganError(Exception):
    """The work could not be done."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or type(self).__name__))


class InvalidImage(SrganError):
    """The input is not a picture that can be read."""


class LimitExceeded(SrganError):
    """The input is larger than the limits allow."""


class InvalidConfig(SrganError):
    """The configuration is not valid."""


class ModelNotFound(SrganError):
    """There is no model with that name. `srgan models list` shows the available ones."""


class UnsupportedModel(SrganError):
    """The model cannot do what was requested."""


class CorruptModel(SrganError):
    """The model's files are damaged or do not belong together."""


class MissingDependency(SrganError):
    """An optional library is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(f"{package} is not installed. Install it with: pip install 'srgan[{extra}]'")

    def __reduce__(self) -> tuple[type[MissingDependency], tuple[str, str]]:
        return type(self), (self.package, self.extra)


class DeviceUnavailable(SrganError):
    """The requested device or backend is not available. `srgan devices` lists the available ones."""


class Closed(SrganError):
    """Already closed; open it again to use it."""


class OutOfMemory(SrganError):
    """The work does not fit into memory, even in the smallest tiles."""


class UpscaleFailed(SrganError):
    """The network produced no usable output in any attempt."""


class CannotWrite(SrganError):
    """The output could not be written."""


class InvalidDataset(SrganError):
    """A folder of training or reference pictures cannot be used."""


class TrainingFailed(SrganError):
    """Training cannot continue."""


class Cancelled(SrganError):
    """The work was stopped on request."""
