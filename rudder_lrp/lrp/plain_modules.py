"""Modules whose call does what their weights say, and nothing else: those that fast passes may read the weights of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from rudder_lrp.lrp.model_checks import check_precision

_MAKE_WEIGHTS = (BasePruningMethod, WeightNorm)  # at each call, from what is trained
_HARMLESS = (*_MAKE_WEIGHTS, SpectralNorm)


def check_plain(module: nn.Module) -> None:
    """Refuse a recurrent or linear layer with a `forward` or hooks of its own, or in half precision.

    Raises:
        TypeError: naming the remedy.
    """
    kind = next(kind for kind in (nn.LSTM, nn.GRU, nn.Linear) if isinstance(module, kind))
    remedy = f"pass LRP a whole model that calls it, alone, or rebuild it as torch.nn.{kind.__name__}"
    if type(module).forward is not kind.forward or "forward" in vars(module):
        raise TypeError(f"{type(module).__name__} has a forward of its own, which its weights do not tell; {remedy}")
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    if any(not isinstance(hook, _HARMLESS) for hook in hooks):
        raise TypeError(f"{type(module).__name__} has hooks that may change what it does; remove them, or {remedy}")
    check_precision(module)


@torch.no_grad()
def make_weights(module: nn.Module) -> None:
    """Let pruning and normalisation of weights bring them up to date, as a call of the module would."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, _MAKE_WEIGHTS):
            hook(module, ())


def check_beside(layer: nn.Linear, weight: Tensor) -> None:
    """Refuse a readout or encoder in another precision or on another device than the recurrent layer.

    Raises:
        ValueError: naming both.
    """
    own = layer.weight
    if own.dtype != weight.dtype or own.device != weight.device:
        raise ValueError(
            f"readout or encoder are {own.dtype} on {own.device}, the recurrent layer is {weight.dtype} on "
            f"{weight.device}; move one of them"
        )
