"""Operations that move values: each element of the outcome is one of the operands', or a constant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from rudder_lrp.lrp.owners import pulled
from rudder_lrp.lrp.recorder import Call, absorbed
from rudder_lrp.lrp.tape import Absorbed, Owner, Passed, Value

_CASTS = {"long", "int", "to", "type", "float", "double", "_to_copy"}


def moving(call: Call) -> Any:
    """Each element of the outcome is one of the operands': relevance goes back to it."""
    whole = call.of_whole_numbers
    given = [part for part in call.tensors() if _is_source(call, part, whole)]
    leaves = {id(part): _leaf(part).requires_grad_() for part in given}
    with torch.enable_grad():
        moved = leaves[id(given[0])] if whole and call.name in _CASTS else call.run(leaves)
    outcome = call.run() if whole else moved
    flat, spec = tree_flatten(moved)
    at = [n for n, part in enumerate(flat) if isinstance(part, Tensor) and part.requires_grad]
    if not at:
        return call.run()
    moved_parts = [flat[n] for n in at]
    shown = [part.detach() if isinstance(part, Tensor) else part for part in tree_flatten(outcome)[0]]
    operands = [call.value(part) or call.constant(part) for part in given]

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        kept = _filled(call, leaves, arriving[0]) if account and call.name in _FILLING else []
        parts = _pull(moved_parts, list(leaves.values()), arriving, account)
        return Passed(_like(parts, arriving) if whole else parts, kept)

    def owners(arriving: list[Owner | None]) -> list[Owner | None]:
        return pulled(moved_parts, list(leaves.values()), arriving)

    tracked = [value for part in given if (value := call.value(part))]
    gate = all(value.gate for value in tracked)
    before = _moved_before(call, tracked) if gate and len(at) == 1 else None
    outputs = [Value(shown[n], before, gate) for n in at]
    for n, tensor in zip(at, call.emit(outputs, operands, back, owners), strict=True):
        shown[n] = tensor
    return tree_unflatten(shown, spec)


_FILLING = {"masked_fill", "where", "pad", "constant_pad_nd", "_pad_packed_sequence"}
"""Operations that put constants between what they move."""


def _is_source(call: Call, part: Tensor, whole: bool) -> bool:
    if call.value(part):
        return whole or part.is_floating_point()
    return call.recorder.account and part.is_floating_point() and call.name not in _FILLING


def _filled(call: Call, leaves: dict[int, Tensor], R: Tensor | None) -> list[Absorbed]:
    """What arrives where the outcome is the same whatever is moved."""
    zeros, ones = ({at: make(leaf) for at, leaf in leaves.items()} for make in (torch.zeros_like, torch.ones_like))
    outcomes = [tree_flatten(call.run(replaced))[0][0] for replaced in (zeros, ones)]
    assert R is not None
    return absorbed("constants", R.masked_fill(outcomes[0] != outcomes[1], 0.0), keep=True)


def _leaf(part: Tensor) -> Tensor:
    """The part itself; for whole numbers, which have no derivative, a stand-in that no relevance loses digits by."""
    return part.detach() if part.is_floating_point() else torch.zeros_like(part, dtype=torch.float64)


def _pull(
    outputs: list[Tensor], leaves: list[Tensor], arriving: list[Tensor | None], keep: bool
) -> list[Tensor | None]:
    pairs = [(output, part) for output, part in zip(outputs, arriving, strict=True) if part is not None]
    outs, parts = [pair[0] for pair in pairs], [pair[1].to(pair[0].dtype) for pair in pairs]
    return list(torch.autograd.grad(outs, leaves, parts, retain_graph=keep, allow_unused=True))


def _like(parts: list[Tensor | None], arriving: list[Tensor | None]) -> list[Tensor | None]:
    """In the precision of what arrives."""
    dtype = next(part.dtype for part in arriving if part is not None)
    return [None if part is None else part.to(dtype) for part in parts]


def _moved_before(call: Call, tracked: list[Value]) -> Tensor:
    befores = {id(part): value.before for part, value in zip(call.tracked(), tracked, strict=True)}
    before: Tensor = call.run(befores).detach()
    return before


def assigning(call: Call) -> Tensor:
    """`x[at] = y` and `x.copy_(y)`: what is overwritten is gone, the rest and the new values keep their relevance."""
    target, at, values = call.args if call.name == "setitem" else (call.args[0], ..., call.args[1])
    call.refuse_views(target)
    given = [target] + ([values] if isinstance(values, Tensor) else [])
    leaves = [part.detach().requires_grad_() for part in given]
    with torch.enable_grad():
        moved = leaves[0].clone()
        moved[at] = leaves[1] if len(leaves) == 2 else values
    operands = [call.value(part) or call.constant(part) for part in given]

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        return Passed(_pull([moved], leaves, arriving, account), [])

    (shown,) = call.emit([Value(moved.detach())], operands, back, lambda arriving: pulled([moved], leaves, arriving))
    return call.recorder.become(target, shown)


def iterating(call: Call) -> Iterator[Tensor]:
    """A loop over the first dimension."""
    parts: tuple[Tensor, ...] = moving(Call(call.recorder, Tensor.unbind, "unbind", call.args, {}))
    return iter(parts)
