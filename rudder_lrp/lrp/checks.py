"""Refusals: one sentence that names what was found, what is supported and the remedy."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def check_modules(lstm: nn.Module, readout: nn.Module) -> None:
    """Refuse what cannot be explained.

    Raises:
        TypeError: if `lstm` is no `nn.LSTM` or `readout` no `nn.Linear`.
        ValueError: if the LSTM has more layers, directions or a projection, or the readout another width.
    """
    if not isinstance(lstm, nn.LSTM):
        raise TypeError(f"LRP explains torch.nn.LSTM, got {type(lstm).__name__}; rebuild the model with an nn.LSTM")
    if not isinstance(readout, nn.Linear):
        raise TypeError(
            f"LRP reads out through torch.nn.Linear, got {type(readout).__name__}; pass the last linear layer"
        )
    if lstm.num_layers != 1 or lstm.bidirectional or lstm.proj_size:
        raise ValueError(
            "LRP supports one layer, one direction and no projection, got "
            f"num_layers={lstm.num_layers}, bidirectional={lstm.bidirectional}, proj_size={lstm.proj_size}"
        )
    if readout.in_features != lstm.hidden_size:
        raise ValueError(f"the readout takes {readout.in_features} features, the LSTM has {lstm.hidden_size} cells")


def check_inputs(lstm: nn.LSTM, inputs: Tensor) -> None:
    """Refuse inputs that the LSTM cannot take.

    Raises:
        TypeError: if they are of another dtype.
        ValueError: if shape, device or values do not fit.
    """
    weight = lstm.weight_ih_l0
    if inputs.dtype != weight.dtype:
        raise TypeError(f"inputs are {inputs.dtype}, the model is {weight.dtype}; convert one of them")
    if inputs.device != weight.device:
        raise ValueError(f"inputs are on {inputs.device}, the model is on {weight.device}; move one of them")
    if inputs.ndim != 3 or inputs.shape[2] != lstm.input_size:
        layout = "[B, T, F]" if lstm.batch_first else "[T, B, F]"
        raise ValueError(f"inputs must be {layout} with F = {lstm.input_size}, got shape {list(inputs.shape)}")
    if not torch.isfinite(inputs).all():
        raise ValueError("inputs hold NaN or infinite values, which no relevance can be found for; clean them first")


def check_lengths(inputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Lengths `[B]` of sequences `[B, T, F]`, all steps by default.

    Raises:
        ValueError: if one is below 1 or beyond T, or their number is not B.
    """
    batch, horizon = inputs.shape[:2]
    if lengths is None:
        return torch.full((batch,), horizon, device=inputs.device)
    lengths = lengths.to(inputs.device)
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must be one number a sequence, [{batch}], got shape {list(lengths.shape)}")
    if lengths.min() < 1 or lengths.max() > horizon:
        raise ValueError(
            f"lengths must lie between 1 and the {horizon} steps of the inputs, got {int(lengths.min())} to "
            f"{int(lengths.max())}; leave empty sequences out"
        )
    return lengths


def check_target(readout: nn.Linear, target: int | None) -> int:
    """Index of the output to explain.

    Raises:
        ValueError: if it is out of range, or left out where there are several.
    """
    outputs = readout.out_features
    if target is None and outputs == 1:
        return 0
    if target is None or not 0 <= target < outputs:
        raise ValueError(f"target must be one of the outputs 0 to {outputs - 1}, got {target}")
    return target
