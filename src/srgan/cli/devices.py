"""`srgan devices`: the devices of this machine."""

from __future__ import annotations

from dataclasses import asdict

from srgan.cli import options
from srgan.cli.output import bytes_text, emit, emit_json, say, table

EXAMPLES = """\b
Examples:
  srgan devices
  srgan devices --json
  srgan upscale small.png large.png --device vulkan:0
"""


def devices(as_json: options.Json = False) -> None:
    """List the available devices.

    Each is shown with its backend and its name for --device. Reasons why other backends or devices are unavailable are
    printed to standard error.
    """
    from srgan.runtime import list_devices, unavailable_backends

    found = list_devices()
    missing = unavailable_backends()
    if as_json:
        emit_json({"devices": [asdict(device) for device in found], "unavailable": missing})
        return
    rows = [
        (
            device.backend,
            device.device,
            f"{device.name} (software renderer)" if device.software else device.name,
            None if device.memory_bytes is None else bytes_text(device.memory_bytes),
        )
        for device in found
    ]
    emit(table(("BACKEND", "DEVICE", "NAME", "MEMORY"), rows))
    for backend, reason in missing.items():
        say(f"{backend}: {reason}")
