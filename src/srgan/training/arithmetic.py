"""In which arithmetic a training computes where its file leaves that open: what the device can, and what is faster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from srgan.training.config import HardwareSection
from srgan.training.runs import Run
from srgan.training.state import plain_of

SECONDS = 1.0
"""How long bf16 and fp32 are compared."""
ROUNDS = 3
"""Times that each is computed at least, the first of which is not counted."""

log = logging.getLogger("srgan")


def choose_precision(hardware: HardwareSection, device: str, begun: Run | None) -> str:
    """`HardwareSection.precision` for ``device``, with auto decided.

    Auto takes bf16 where the device has it in hardware; a processor must prove in a second that it is faster there,
    since some that have it are not. A run that was ``begun`` keeps what it began with, so that it goes on bit for bit
    whatever a busy machine would measure now. Several processes measure nothing: they have to decide alike.
    """
    if hardware.precision != "auto":
        return hardware.precision
    if not has_bf16(device):
        return "fp32"
    if device != "cpu" or hardware.devices > 1:
        return "bf16"
    if begun and (checkpoints := begun.checkpoints()):
        # Before this was measured the ability decided, and checkpoints did not say.
        return "fp32" if plain_of(checkpoints[-1]).get("arithmetic") == "32-true" else "bf16"
    times = race(_works())
    faster = min(times, key=times.__getitem__)
    log.info(
        "measured here: a step in bf16 takes %.2f times as long as in fp32, so it is %s",
        times["bf16"] / times["fp32"],
        faster,
    )
    return faster


def has_bf16(device: str) -> bool:
    """Whether ``device`` computes bfloat16 in hardware; elsewhere it is slower than float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "amx_tile"))
    return False


def race(
    works: Mapping[str, Callable[[], object]],
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """The least time of each of ``works``: called in turn until so many ``seconds`` are over, `ROUNDS` times at least.

    In turn, and the least of them, since other work on the machine comes and goes.
    """
    began, rounds = clock(), 0
    least = dict.fromkeys(works, float("inf"))
    while rounds < ROUNDS or clock() - began < seconds:
        for name, work in works.items():
            before = clock()
            work()
            if rounds:
                least[name] = min(least[name], clock() - before)
        rounds += 1
    return least


def _works() -> dict[str, Callable[[], object]]:
    """Forward and backward through three layers as our networks have them. Draws no random numbers."""
    convolutions = [nn.Conv2d(48, 48, 3, padding=1, device="meta").to_empty(device="cpu") for _ in range(3)]
    layers = nn.Sequential(*(part for layer in convolutions for part in (layer, nn.LeakyReLU())))
    for weight in layers.parameters():
        nn.init.constant_(weight, 0.01)
    layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    batch = torch.full((8, 48, 32, 32), 0.5).contiguous(memory_format=torch.channels_last)

    def work(rough: bool) -> None:
        layers.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=rough):
            output: Tensor = layers(batch)
        output.float().mean().backward()  # type: ignore[no-untyped-call]

    return {"fp32": lambda: work(False), "bf16": lambda: work(True)}
