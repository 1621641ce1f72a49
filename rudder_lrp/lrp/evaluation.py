"""A model run as in evaluation, and afterwards as it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Switch dropout off for a while, and cuDNN, whose backward pass needs training mode."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation in the model's own precision, without gradients or compilation; mode and random state come back."""
    devices = sorted({parameter.device.index or 0 for parameter in model.parameters() if parameter.is_cuda})
    kinds = {"cpu", *(parameter.device.type for parameter in model.parameters() if parameter.is_cuda)}
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for kind in kinds:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if "torch._dynamo" in sys.modules:  # else nothing has been compiled, and to load it takes more than a second
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield
