"""Refusals of whole models, of what goes into them and comes out: see `rudder_lrp.lrp.checks` for those of layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rudder_lrp.lrp.checks import check_dense, check_finite, check_target


def check_whole_model(model: nn.Module, readout: nn.Module | None) -> None:
    """Refuse what is no module, and a readout after one that is no recurrent layer.

    Raises:
        TypeError: naming the remedy.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"LRP explains a torch.nn.Module, got {type(model).__name__}; pass the model itself")
    if readout is not None:
        raise TypeError(
            f"a readout goes with torch.nn.LSTM or torch.nn.GRU, got {type(model).__name__}; pass a whole model alone"
        )
    if isinstance(model, nn.RNN):
        raise TypeError("LRP explains torch.nn.LSTM and torch.nn.GRU, got RNN; rebuild the model with one of these")


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside wrappers of `torch.compile` and of data parallelism.

    Raises:
        TypeError: if it is compiled to TorchScript.
    """
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        elif isinstance(model, torch.jit.ScriptModule):
            raise TypeError(
                f"LRP cannot look into TorchScript, got {type(model).__name__}; pass the nn.Module it was made from"
            )
        else:
            return model


def check_precision(model: nn.Module) -> None:
    """Refuse weights that relevance cannot be divided by with any precision.

    Raises:
        TypeError: for half precision and quantised weights.
    """
    for name, module in model.named_modules():
        if ".quantized" in type(module).__module__:
            raise TypeError(f"{name} is quantised ({type(module).__name__}); explain the model before its quantisation")
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} is {parameter.dtype}, supported are float32 and float64; call model.float() first")


def check_model_inputs(model: nn.Module, inputs: object) -> list[Tensor]:
    """The tensors among the inputs of a whole model.

    Raises:
        TypeError: if they are no tensors or of another precision.
        ValueError: if they are on another device, or there is nothing in them, or NaN.
    """
    given = (inputs.data,) if isinstance(inputs, PackedSequence) else inputs
    parts: list[Any] = list(given) if isinstance(given, tuple | list) else [given]
    dtypes = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    devices = {parameter.device for parameter in model.parameters()}
    for part in parts:
        check_dense(part)
        if devices and part.device not in devices:
            found = ", ".join(sorted(map(str, devices)))
            raise ValueError(f"inputs are on {part.device}, the model is on {found}; move one of them")
        if part.numel() == 0:
            raise ValueError(f"inputs must not be empty, got shape {list(part.shape)}; pass at least one step")
        if part.is_floating_point():
            if dtypes and part.dtype not in dtypes:
                found = ", ".join(sorted(map(str, dtypes)))
                raise TypeError(f"inputs are {part.dtype}, the model is {found}; convert one of them")
            check_finite("inputs", part)
    return parts


def check_output(output: object) -> None:
    """Refuse an output of a model that is no tensor with one row for each example.

    Raises:
        TypeError, ValueError: naming the remedy.
    """
    if not isinstance(output, Tensor):
        raise TypeError(
            f"the model must return one tensor, got {type(output).__name__}; wrap it in a module that returns the part "
            "to be explained"
        )
    if output.ndim == 0 or not output.is_floating_point():
        raise ValueError(f"the model must return [B, C], got {output.dtype} of shape {list(output.shape)}; reshape it")


def selected(output: Tensor, target: int | Tensor | tuple[int, ...] | None) -> Tensor:
    """The output where it is to be explained, zero elsewhere, `[B, ...]`.

    Raises:
        ValueError: if the target does not fit the output.
    """
    check_finite("outputs", output)
    if output.ndim <= 2 and not isinstance(target, tuple):
        rows = output if output.ndim == 2 else output[:, None]
        chosen = check_target(target, rows.shape[1], len(rows), rows.device)
        kept = nn.functional.one_hot(chosen, rows.shape[1]).to(rows.dtype)
        return (rows * kept).view_as(output)
    sizes = output.shape[1:]
    fits = isinstance(target, tuple) and len(target) == len(sizes)
    if not fits or not all(isinstance(at, int) and 0 <= at < n for at, n in zip(target, sizes, strict=True)):  # type: ignore[arg-type]
        limits = ", ".join(f"0 to {size - 1}" for size in sizes)
        raise ValueError(
            f"target must be a tuple ({limits}) for outputs [B, {', '.join(map(str, sizes))}], got {target}; choose one"
        )
    kept = torch.zeros_like(output)
    kept[(slice(None), *target)] = output[(slice(None), *target)]  # type: ignore[misc]
    return kept
