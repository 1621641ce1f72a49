"""What a model did with its inputs, step by step, and relevance back along the same way.

The model runs as it is, on real values, inside a `TorchFunctionMode` that sees every call of PyTorch that one of the
inputs flows into. So control flow that depends on data works, nothing in the model is replaced or hooked, and when the
context is left, by an exception too, nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from rudder_lrp.lrp.ledger import ModelLedger, empty_model_ledger
from rudder_lrp.lrp.places import Place


class Owner(NamedTuple):
    """Which example of the batch the elements of a tensor belong to."""

    dim: int
    """The dimension along which examples differ; -1 for a batch of one, whose elements all belong to it."""
    examples: Tensor
    """Example of each position along it; -1 where nothing flows on."""

    def expand(self, values: Tensor) -> Tensor:
        """The example of each element, in the shape and dtype of `values`."""
        shape = [1] * values.ndim
        shape[self.dim] = -1
        return self.examples.to(values.dtype).view(shape).expand_as(values)

    def merge(self, other: Owner | None) -> Owner:
        """What two ways on say together."""
        return self if other is None else self._replace(examples=torch.maximum(self.examples, other.examples))

    def sums(self, values: Tensor, examples: int) -> Tensor:
        """Sum of each example's elements, `[examples]`."""
        if self.dim < 0:
            return values.sum()[None]
        kept = values.movedim(self.dim, 0).flatten(1).sum(1) if values.ndim > 1 else values
        return kept.new_zeros(examples).index_add_(0, self.examples.clamp(min=0), kept)


class Value:
    """A tensor on the way: one that the inputs flow into, or a constant that an account is kept of.

    Args:
        value: the tensor.
        before: its pre-activation, which gate rules look at; itself by default.
        gate: whether it only scales: a sigmoid, a softmax, or what was moved or masked of them.
    """

    def __init__(self, value: Tensor, before: Tensor | None = None, gate: bool = False) -> None:
        self.value = value
        self.before = value if before is None else before
        self.gate = gate
        self.relevance: Tensor | None = None
        self.owner: Owner | None = None

    def receive(self, relevance: Tensor | None, owner: Owner | None) -> None:
        """Add relevance that comes back along one way."""
        if relevance is None:
            return
        self.relevance = relevance if self.relevance is None else self.relevance + relevance
        if owner is not None:
            self.owner = owner.merge(self.owner)


class Absorbed(NamedTuple):
    """Relevance that stays at a step."""

    account: str
    """A field of `ModelLedger`."""
    relevance: Tensor
    """Shaped like the output; or `[B]`, a number for each sequence of a batch."""
    per_sequence: bool = False


class Passed(NamedTuple):
    """What a step makes of relevance: for each operand its part, and what stays."""

    operands: list[Tensor | None]
    absorbed: list[Absorbed]


class Step(NamedTuple):
    """One operation of the model."""

    place: Place
    operands: list[Value]
    outputs: list[Value]
    back: Callable[[list[Tensor | None], bool], Passed]
    """From the relevance of the outputs, and whether an account is kept, to that of the operands."""
    owners: Callable[[list[Owner | None]], list[Owner | None]]


class Tape:
    """Steps in the order in which the model took them."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.constants: list[tuple[str, Value]] = []

    def back(self, start: Value, relevance: Tensor, account: bool) -> None:
        """Carry relevance `[B, ...]` of the model's output back to where it came from.

        Raises:
            NotImplementedError: where it would have to pass an operation without a rule.
        """
        examples = torch.arange(len(relevance), device=relevance.device)
        self.sole = Owner(-1, examples) if len(relevance) == 1 else None
        start.receive(relevance, (self.sole or Owner(0, examples)) if account else None)
        self.ledger = empty_model_ledger(relevance) if account else None
        for step in reversed(self.steps):
            arriving = [output.relevance for output in step.outputs]
            if any(part is not None for part in arriving):
                self._pass(step, arriving, len(relevance))
            for output in step.outputs:
                output.relevance = None

    def _pass(self, step: Step, arriving: list[Tensor | None], examples: int) -> None:
        passed = step.back(arriving, self.ledger is not None)
        owners: Iterable[Owner | None] = [None] * len(step.operands)
        if self.ledger is not None:
            arrived = [output.owner for output in step.outputs]
            owners = [self.sole] * len(step.operands) if self.sole else step.owners(arrived)
            for absorbed in passed.absorbed:
                self._book(step, absorbed, examples)
        for operand, relevance, owner in zip(step.operands, passed.operands, owners, strict=True):
            operand.receive(relevance, owner)

    def _book(self, step: Step, absorbed: Absorbed, examples: int) -> None:
        assert self.ledger is not None
        owner = next(output.owner for output in step.outputs if output.owner is not None)
        if absorbed.per_sequence and not self.sole:
            owner = Owner(0, owner.examples[: len(absorbed.relevance)])
        self.ledger.add(absorbed.account, step.place.module, owner.sums(absorbed.relevance, examples))

    def finish(self, inputs: list[Value], examples: int) -> ModelLedger | None:
        """Enter what arrived at inputs and constants, and hand out the ledger."""
        if self.ledger is None:
            return None
        for value in inputs:
            if value.relevance is not None and value.owner is not None:
                self.ledger.inputs.add_(value.owner.sums(value.relevance, examples))
        for name, value in self.constants:
            if value.relevance is not None and value.owner is not None:
                self.ledger.add("constants", name, value.owner.sums(value.relevance, examples))
        return self.ledger
