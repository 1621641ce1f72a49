"""PyTorch as this library expects it, whatever the caller has set around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def plain_torch() -> Iterator[None]:
    """Gradients on, no inference mode, no autocast, float32 on the CPU by default, for a block or a whole function.

    So a predictor is built, trained and asked in the same way inside a caller's `torch.no_grad()`,
    `torch.inference_mode()` or `torch.autocast`, and after `torch.set_default_device("cuda")`: lessons lie in memory,
    and a step of a small LSTM is over before a GPU has begun. Threads and deterministic algorithms stay the caller's.
    """
    with ExitStack() as modes:
        if torch.is_inference_mode_enabled():
            modes.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            modes.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        if torch.empty(0).device.type != "cpu":
            modes.enter_context(torch.device("cpu"))
        default = torch.get_default_dtype()
        if default != torch.float32:
            torch.set_default_dtype(torch.float32)
            modes.callback(torch.set_default_dtype, default)
        yield
