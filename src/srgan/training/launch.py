"""Whether this process was started to train together with others, as its environment tells. Loads no torch."""

from __future__ import annotations

import os

from srgan.errors import InvalidConfig, TrainingFailed

LAUNCHED = "LOCAL_RANK"
"""The variable that all have who were started together: by `srgan.training.apart`, or by torchrun."""
OF_A_TEAM = (LAUNCHED, "RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
"""The variables by which they find each other."""


class PartnerLost(TrainingFailed):
    """Another process of this training has ended; what it says tells why. It goes on from the last checkpoint."""


def launched() -> bool:
    """Whether this process is one of several that train together."""
    return LAUNCHED in os.environ


def follows() -> bool:
    """Whether another of them leads, which alone writes and tells."""
    return launched() and os.environ.get("RANK", os.environ[LAUNCHED]) != "0"


def check_launch(devices: int) -> None:
    """Raise `InvalidConfig` when a launcher such as torchrun has started another number of processes."""
    started = int(os.environ.get("WORLD_SIZE", 1))
    if launched() and started != devices:
        raise InvalidConfig(
            f"hardware.devices: {started} processes were started together, but the configuration says {devices}; "
            f"give --set hardware.devices={started}"
        )
