"""Sessions: running a model on some engine and device. `open_session` picks one; `list_devices` tells what is there."""

from srgan.runtime.colourfix import FixColour
from srgan.runtime.devices import Device, list_devices, unavailable_backends
from srgan.runtime.opening import BACKENDS, RESIZE_MODELS, open_session
from srgan.runtime.selfensemble import SelfEnsemble
from srgan.runtime.session import Session, SessionInfo

__all__ = [
    "BACKENDS",
    "RESIZE_MODELS",
    "Device",
    "FixColour",
    "SelfEnsemble",
    "Session",
    "SessionInfo",
    "list_devices",
    "open_session",
    "unavailable_backends",
]
