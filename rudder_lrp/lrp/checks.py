"""Refusals: one sentence that names what was found, what is supported and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TypeVar

import torch
from torch import Tensor, nn

from rudder_lrp.lrp.rules import Rules, epsilon
from rudder_lrp.lstm import State

_Rule = TypeVar("_Rule")


def check_recurrent(module: nn.LSTM | nn.GRU, rules: Rules, reads: str) -> None:
    """Refuse a projection, and for a GRU what it has no equivalent of.

    Raises:
        ValueError: naming the remedy.
    """
    if getattr(module, "proj_size", 0):
        raise ValueError(
            f"LRP supports an LSTM whose hidden state is not projected, got proj_size={module.proj_size}; "
            "train one with proj_size=0"
        )
    if not isinstance(module, nn.GRU):
        return
    if reads == "cell":
        raise ValueError("a GRU has no cell state to read out, got reads='cell'; use reads='hidden'")
    if rules.conserve or rules.linear is not epsilon:
        raise ValueError("a GRU takes neither conserve nor a linear rule other than epsilon; leave both out")


def check_width(what: str, found: int, neighbour: str, expected: int) -> None:
    """Refuse a layer that does not fit its neighbour.

    Raises:
        ValueError: if the widths differ.
    """
    if found != expected:
        raise ValueError(f"the {what} {found} features, but the {neighbour} {expected}; they must be equal")


def check_relevance(relevance: Tensor, states: Tensor) -> None:
    """Refuse injected relevance that does not fit the hidden states `[T, B, D * H]`.

    Raises:
        ValueError: if shape, dtype or values do not fit.
    """
    if relevance.shape != states.shape or relevance.dtype != states.dtype:
        raise ValueError(
            f"relevance must be like the outputs of the LSTM, {list(states.shape)} time-major in {states.dtype}, "
            f"got {list(relevance.shape)} in {relevance.dtype}; give one number for each hidden state"
        )
    check_finite("relevance", relevance)


def check_rule(kind: str, rule: str | _Rule, known: Mapping[str, _Rule]) -> _Rule:
    """Find a rule by name, or take a function as it is.

    Raises:
        ValueError: if the name is unknown.
    """
    if not isinstance(rule, str):
        return rule
    if rule not in known:
        raise ValueError(f"{kind} must be one of {', '.join(known)}, or a function, got {rule!r}")
    return known[rule]


def check_inputs(inputs: Tensor, weight: Tensor, features: int, layout: str) -> None:
    """Refuse inputs that the model cannot take.

    Raises:
        TypeError: if they are no tensor or of another dtype.
        ValueError: if shape or device do not fit.
    """
    check_dense(inputs)
    if inputs.dtype != weight.dtype:
        raise TypeError(f"inputs are {inputs.dtype}, the model is {weight.dtype}; convert one of them")
    if inputs.device != weight.device:
        raise ValueError(f"inputs are on {inputs.device}, the model is on {weight.device}; move one of them")
    if inputs.ndim != 3 or inputs.shape[2] != features or 0 in inputs.shape:
        raise ValueError(
            f"inputs must be {layout} with F = {features} and nothing empty, got shape {list(inputs.shape)}; "
            "a single sequence needs a batch dimension of 1"
        )


def check_dense(inputs: object) -> None:
    """Refuse what is no tensor with its numbers in it.

    Raises:
        TypeError: naming the remedy.
    """
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs must be tensors or a PackedSequence, got {type(inputs).__name__}; convert them")
    if inputs.is_nested or inputs.layout is not torch.strided:
        raise TypeError(f"inputs are {'nested' if inputs.is_nested else 'sparse'}; pad them, or call to_dense()")


def check_finite(name: str, values: Tensor) -> None:
    """Refuse NaN and infinite values.

    Raises:
        ValueError: if there are any.
    """
    # One sum in place of one mask: it is only finite if all values are, save for an overflow.
    values = values.detach()
    if not isfinite(values.sum()) and not torch.isfinite(values).all():
        raise ValueError(f"{name} hold NaN or infinite values, which no relevance can be found for; clean them first")


def check_lengths(inputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Lengths `[B]` of sequences `[T, B, F]`, all steps by default.

    Raises:
        TypeError: if they are no whole numbers.
        ValueError: if one is below 1 or beyond T, or their number is not B.
    """
    horizon, batch = inputs.shape[:2]
    if lengths is None:
        return torch.full((batch,), horizon, device=inputs.device)
    lengths = torch.as_tensor(lengths, device=inputs.device)
    if lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(f"lengths must be whole numbers of steps, got {lengths.dtype}; convert them with .long()")
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must be one number a sequence, [{batch}], got shape {list(lengths.shape)}")
    if lengths.min() < 1 or lengths.max() > horizon:
        raise ValueError(
            f"lengths must lie between 1 and the {horizon} steps of the inputs, got {int(lengths.min())} to "
            f"{int(lengths.max())}; leave empty sequences out"
        )
    return lengths.long()


def check_target(target: int | Tensor | None, outputs: int, batch: int, device: torch.device) -> Tensor:
    """Index of the output to explain for each sequence, `[B]`.

    Raises:
        TypeError: if it is nothing like numbers.
        ValueError: if it is out of range, or left out where there are several.
    """
    if target is None and outputs == 1:
        target = 0
    supported = f"target must be one of the outputs 0 to {outputs - 1}, or one of these for each of {batch} sequences"
    if target is None:
        raise ValueError(f"{supported}, got None; choose the output to explain")
    try:
        chosen = torch.as_tensor(target, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{supported}, got {target!r}; pass whole numbers") from error
    if chosen.is_floating_point() or chosen.dtype == torch.bool or chosen.shape not in ((), (batch,)):
        raise ValueError(f"{supported}, got {chosen.dtype} of shape {list(chosen.shape)}; pass whole numbers")
    if chosen.min() < 0 or chosen.max() >= outputs:
        raise ValueError(f"{supported}, got {target}; count outputs from 0")
    return chosen.long().expand(batch)


def check_step(step: int | Tensor | None, lengths: Tensor) -> Tensor:
    """Step whose output is explained, for each sequence, `[B]`; the length stands for the final states.

    Raises:
        ValueError: if it is not a valid step.
    """
    if step is None:
        return lengths
    chosen = torch.as_tensor(step, device=lengths.device)
    if chosen.is_floating_point() or chosen.shape not in ((), lengths.shape):
        raise ValueError(f"step must be one whole number, or one for each of {len(lengths)} sequences, got {step}")
    if (chosen < 0).any() or (chosen >= lengths).any():
        raise ValueError(f"step must be a valid step of each sequence, 0 to its length - 1, got {step}")
    return chosen.long().expand(len(lengths))


def check_state(module: nn.LSTM | nn.GRU, state: State | Tensor | None, inputs: Tensor) -> State | None:
    """Initial states that fit inputs `[T, B, F]`; of a GRU h_0 stands for both.

    Raises:
        TypeError: if it is not what the module takes.
        ValueError: if shape, dtype, device or values do not fit.
    """
    if state is None:
        return None
    if isinstance(state, Tensor) is not isinstance(module, nn.GRU):
        raise TypeError(f"state must be as {type(module).__name__} takes it, got {type(state).__name__}; convert it")
    parts = (state, state) if isinstance(state, Tensor) else state
    expected = (module.num_layers * (2 if module.bidirectional else 1), inputs.shape[1], module.hidden_size)
    for name, part in zip(("h_0", "c_0"), parts, strict=True):
        if part.shape != expected or part.dtype != inputs.dtype or part.device != inputs.device:
            raise ValueError(
                f"{name} must be {list(expected)} in {inputs.dtype} on {inputs.device}, got {list(part.shape)} in "
                f"{part.dtype} on {part.device}; pass the state as to nn.{type(module).__name__}"
            )
        check_finite(name, part)
    return parts


def refuse_options(kind: str, **options: object) -> None:
    """Refuse options that have no effect.

    Raises:
        TypeError: naming the first of them.
    """
    for name, value in options.items():
        if value is not None and value is not False:
            raise TypeError(f"{name} has no meaning for {kind}; leave it out")
