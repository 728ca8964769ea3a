"""Sessions: running a model on some engine and device. `open_session` picks one; `list_devices` tells what is there."""

from srgan.runtime.session import Session, SessionInfo

__all__ = ["Session", "SessionInfo"]
