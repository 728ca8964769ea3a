"""Activation checkpointing: blocks that run again in the backward pass, so that nothing inside is kept till then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def run_block(block: nn.Module, *inputs: Any, again: bool | None) -> Any:
    """``block(*inputs)``; with ``again`` only the inputs are kept for the gradient, and the block runs a second time.

    Chen et al., "Training deep nets with sublinear memory cost", 2016. The gradient is the same. Where no gradient is
    asked for, ``again`` does nothing.
    """
    if not (again and torch.is_grad_enabled()):
        return block(*inputs)
    norms = [layer for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)]
    contexts: dict[str, Any] = {}
    if norms:
        contexts["context_fn"] = lambda: (contextlib.nullcontext(), _statistics_kept(norms))
    # Nothing in a block is random, so no state of random numbers has to be put back.
    return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False, **contexts)


@contextlib.contextmanager
def _statistics_kept(norms: list[nn.BatchNorm2d]) -> Iterator[None]:
    """Have batch norms that see a batch for the second time count it once."""
    kept = [[buffer.clone() for buffer in norm.buffers()] for norm in norms]
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for buffer, value in zip(norm.buffers(), buffers, strict=True):
                buffer.copy_(value)
