"""Training without denormal numbers, which processors handle ten times slower than others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def are_flushed() -> bool:
    """Whether this thread counts numbers too small for the format as zero."""
    return float(torch.tensor([1e-30]) * 1e-10) == 0.0


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Count denormal numbers as zero inside the block, and as before after it.

    Weights that decay and gates that close fill a network with them: training it slows down eightfold after a thousand
    updates. The setting is the thread's and would change what others compute, so it is put back.
    """
    before = are_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
