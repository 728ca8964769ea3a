"""Image super-resolution.

    >>> import srgan
    >>> srgan.upscale("small.jpg")  # doctest: +SKIP
    PosixPath('small_x4.png')

`upscale` takes a path, bytes, an open file, a Pillow image or an array and returns the same type (bytes for a file).
`Upscaler` keeps a model open for many pictures. All modules are loaded on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers understand it; importing `typing` alone would take 15 ms
if TYPE_CHECKING:
    from srgan.batch import process_folder
    from srgan.errors import SrganError
    from srgan.generation import LatentModel, generate
    from srgan.imaging import Limits, Picture, read_picture, write_picture
    from srgan.models import Bundle, ModelInfo, find_model, list_models
    from srgan.runtime import Session, SessionInfo, open_session
    from srgan.upscaler import Upscaler, upscale

    __version__: str

__all__ = [
    "Bundle",
    "LatentModel",
    "Limits",
    "ModelInfo",
    "Picture",
    "Session",
    "SessionInfo",
    "SrganError",
    "Upscaler",
    "__version__",
    "find_model",
    "generate",
    "list_models",
    "open_session",
    "process_folder",
    "read_picture",
    "upscale",
    "write_picture",
]

_HOMES = {
    "Bundle": "srgan.models",
    "LatentModel": "srgan.generation",
    "Limits": "srgan.imaging",
    "ModelInfo": "srgan.models",
    "Picture": "srgan.imaging",
    "Session": "srgan.runtime",
    "SessionInfo": "srgan.runtime",
    "SrganError": "srgan.errors",
    "Upscaler": "srgan.upscaler",
    "find_model": "srgan.models",
    "generate": "srgan.generation",
    "list_models": "srgan.models",
    "open_session": "srgan.runtime",
    "process_folder": "srgan.batch",
    "read_picture": "srgan.imaging",
    "upscale": "srgan.upscaler",
    "write_picture": "srgan.imaging",
}
"""The module of each public name, imported on first use."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("srgan")
    elif name == "jobs":  # a module that is as public as these names
        from importlib import import_module

        value = import_module("srgan.jobs")
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'srgan' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
