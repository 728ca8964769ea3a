"""What a training changes of the process that it is called in, given back when it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

_SET_BY_FABRIC = ("PYTORCH_NVML_BASED_CUDA_CHECK", "USE_LIBUV")
"""Variables of the environment that importing lightning-fabric sets, for processes that fork later on."""


@contextlib.contextmanager
def borrowed() -> Iterator[None]:
    """Give back, when the block ends, how torch computes and draws here: as the caller had set it.

    The number of threads, the switches of cuDNN and matrix products, the CUDA device of this thread, and the states of
    the random numbers.
    """
    _import_fabric()
    threads, drawn = torch.get_num_threads(), torch.get_rng_state()
    used_before = _uses_cuda()
    on_devices = torch.cuda.get_rng_state_all() if used_before else []
    device = torch.cuda.current_device() if used_before else None
    benchmark, products = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark
        torch.set_float32_matmul_precision(products)
        torch.set_rng_state(drawn)
        if device is not None:
            torch.cuda.set_device(device)
            torch.cuda.set_rng_state_all(on_devices)
        elif _uses_cuda():
            torch.cuda.manual_seed_all(torch.initial_seed())  # as it was: nobody had drawn from it yet


def _uses_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _import_fabric() -> None:
    """Import lightning-fabric, without what that does to the environment."""
    before = {name: os.environ.get(name) for name in _SET_BY_FABRIC}
    try:
        import lightning_fabric  # noqa: F401
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
