"""Which example an element of a tensor belongs to, found backwards through an operation by its adjoint."""

from __future__ import annotations

import torch
from torch import Tensor

from rudder_lrp.lrp.recorder import mixed_examples
from rudder_lrp.lrp.tape import Owner


def pulled(outputs: list[Tensor], leaves: list[Tensor], arriving: list[Owner | None]) -> list[Owner | None]:
    """The examples of the leaves, given those of the outputs: the mean over all that an element flows into.

    Args:
        outputs: computed from the leaves by an operation whose derivatives are not negative, with its graph.
        leaves: its operands.
        arriving: owners of the outputs.

    Raises:
        NotImplementedError: if elements of several examples are mixed.
    """
    pairs = [(output, owner) for output, owner in zip(outputs, arriving, strict=True) if owner is not None]
    outs = [output for output, _ in pairs]
    marks = [owner.expand(output.detach()) for output, owner in pairs]
    flowing = [(mark >= 0.0).to(mark.dtype) for mark in marks]
    marks = [mark.clamp(min=0.0) for mark in marks]
    sums = torch.autograd.grad(outs, leaves, marks, retain_graph=True, allow_unused=True)
    counts = torch.autograd.grad(outs, leaves, flowing, retain_graph=True, allow_unused=True)
    return [None if part is None else _owner(part / count) for part, count in zip(sums, counts, strict=True)]


def _owner(example: Tensor) -> Owner | None:
    """From the example of each element, NaN where nothing flows on."""
    if bool(example.isnan().all()):
        return None
    for dim in range(example.ndim):
        rows = example.movedim(dim, 0).flatten(1) if example.ndim > 1 else example[:, None]
        low = rows.nan_to_num(torch.inf).amin(1)
        high = rows.nan_to_num(-torch.inf).amax(1)
        if not bool((high - low > 0.5).any()):
            return Owner(dim, torch.where(low.isinf(), -1.0, low).round().long())
    raise mixed_examples()
