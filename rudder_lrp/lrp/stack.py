"""All layers and directions of an LSTM or a GRU: forward once, then relevance back from the top to the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rudder_lrp.lrp import closed_form, gru, propagation
from rudder_lrp.lrp.dense import DensePassed
from rudder_lrp.lrp.direction import Account, Direction, Passed
from rudder_lrp.lrp.gru import GRUDirection, GRUWeights
from rudder_lrp.lrp.rules import Rules
from rudder_lrp.lrp.sequences import Arrivals, reverse
from rudder_lrp.lstm import LayerWeights, State

Weights = LayerWeights | GRUWeights
Entering = list[list[list[Arrivals]]]
"""What enters from outside, by layer and direction: relevance of several sources adds up."""


class StackPassed(NamedTuple):
    """Outcome of a pass."""

    inputs: Tensor
    """`[T, B, F]`."""
    account: Account | None
    """Of all directions together, on demand."""
    initial: State
    """Relevance of the initial states, `[layers * directions, B, H]` each; for a GRU the second is zero."""


class Stack:
    """An LSTM or a GRU after its forward run, each sequence within its length.

    Args:
        weights: of each layer the one or two directions; see `weights_of`.
        inputs: `[T, B, F]`.
        lengths: valid steps of each sequence, `[B]`.
        state: initial states, `[layers * directions, B, H]` each; zero by default. A GRU reads the first alone.
    """

    def __init__(
        self, weights: Sequence[Sequence[Weights]], inputs: Tensor, lengths: Tensor, state: State | None = None
    ) -> None:
        self.lengths = lengths
        self.layers: list[list[Direction | GRUDirection]] = []
        if state is None:
            zeros = inputs.new_zeros(sum(map(len, weights)), inputs.shape[1], weights[0][0].U.shape[1])
            state = zeros, zeros
        initial = zip(*(part.unbind(0) for part in state), strict=True)
        for at_layer, both in enumerate(weights):
            if at_layer:
                inputs = self.outputs()
            turned = [reverse(inputs, lengths) if at else inputs.contiguous() for at in range(len(both))]
            self.layers.append([_run(of, seen, next(initial), lengths) for of, seen in zip(both, turned, strict=True)])

    def outputs(self) -> Tensor:
        """Hidden states of the topmost layer so far after each step, `[T, B, D * H]`."""
        ahead, *back = self.layers[-1]
        return torch.cat([ahead.h, *(reverse(direction.h, self.lengths) for direction in back)], dim=2)

    def states(self, step: Tensor, cell: bool) -> Tensor:
        """Hidden (or cell) states of the topmost layer after one step of each sequence, `[B, D * H]`.

        The length of a sequence as its step stands for the final state of each direction, as in `h_n`.
        """
        pairs = zip(self.layers[-1], self._own(step), strict=False)
        return torch.cat([direction.states_after(own, cell) for direction, own in pairs], dim=1)

    def final_states(self) -> State:
        """Hidden and cell states after the last valid step, `[layers * directions, B, H]` each, as h_n and c_n."""
        directions = [direction for layer in self.layers for direction in layer]
        h, c = ([d.states_after(self.lengths - 1, cell) for d in directions] for cell in (False, True))
        return torch.stack(h), torch.stack(c)

    def _own(self, step: Tensor) -> list[Tensor]:
        """The step in the order in which each direction runs, `[B]`."""
        last = self.lengths - 1
        return [torch.minimum(step, last), torch.where(step > last, last, last - step)]

    def has_closed_form(self, rules: Rules) -> bool:
        """Whether all directions of the topmost layer of an LSTM have one."""
        return all(
            isinstance(direction, Direction) and closed_form.has_closed_form(direction.weights, rules)
            for direction in self.layers[-1]
        )

    def check_non_negative(self) -> None:
        """Refuse inputs and hidden states that gamma and z-plus are not made for.

        Raises:
            ValueError: if one is negative.
        """
        smallest = min(
            float(part.min()) for layer in self.layers for d in layer for part in (d.inputs, d.h, d.initial[0])
        )
        if smallest < 0.0:
            raise ValueError(
                "the linear rules gamma and z-plus need inputs and hidden states >= 0 in every layer, got "
                f"{smallest:.3g}; use linear='epsilon'"
            )

    def arrivals(self, relevance: Tensor, at_cell: bool) -> list[Arrivals]:
        """Relevance `[T, B, D * H]` of the topmost states, by direction."""
        parts = self.turned(relevance)
        return [Arrivals(part, at_cell=at_cell, proportional=False) for part in parts]

    def arrivals_at(self, step: Tensor, read: DensePassed, at_cell: bool) -> list[Arrivals]:
        """Relevance that a readout of the `states` at one step found for them, by direction."""
        count = len(self.layers[-1])
        per_state = [None] * count if read.per_input is None else read.per_input.chunk(count, dim=1)
        return [
            Arrivals(part, own, at_cell=at_cell, per_state=per_unit)
            for part, own, per_unit in zip(read.inputs.chunk(count, dim=1), self._own(step), per_state, strict=False)
        ]

    def at_top(self, arrivals: list[Arrivals]) -> Entering:
        """What enters the topmost layer and nothing else."""
        below: Entering = [[[] for _ in directions] for directions in self.layers[:-1]]
        return [*below, [[part] for part in arrivals]]

    def propagate(self, entering: Entering, rules: Rules, account: bool) -> StackPassed:
        """Carry relevance from the states to the inputs."""
        accounts: list[Account] = []
        initial: list[State] = []
        relevance: Tensor | None = None
        for directions, outside in zip(reversed(self.layers), reversed(entering), strict=True):
            above = self._by_direction(relevance, len(directions))
            both = [
                _propagate_all(direction, given + more, rules, account)
                for direction, given, more in zip(directions, above, outside, strict=True)
            ]
            turned = [reverse(passed.inputs, self.lengths) if at else passed.inputs for at, passed in enumerate(both)]
            relevance = turned[0] + turned[1] if len(turned) == 2 else turned[0]
            accounts += [self._ahead(p.account, bool(at)) for at, p in enumerate(both) if p.account is not None]
            initial = [passed.initial for passed in both] + initial
        assert relevance is not None
        h_0, c_0 = (torch.stack(parts) for parts in zip(*initial, strict=True))
        return StackPassed(relevance, _total(accounts) if accounts else None, (h_0, c_0))

    def _by_direction(self, relevance: Tensor | None, count: int) -> list[list[Arrivals]]:
        if relevance is None:
            return [[] for _ in range(count)]
        return [[Arrivals(part)] for part in self.turned(relevance)]

    def turned(self, relevance: Tensor) -> list[Tensor]:
        """Parts of relevance `[T, B, D * H]`, each in the order in which its direction runs."""
        parts = relevance.chunk(len(self.layers[-1]), dim=2)
        return [reverse(part, self.lengths) if at else part for at, part in enumerate(parts)]

    def _ahead(self, account: Account, backward: bool) -> Account:
        return account._replace(steps=reverse(account.steps, self.lengths)) if backward else account


def weights_of(module: nn.LSTM | nn.GRU) -> list[list[Weights]]:
    """Weights of each layer, of one or two directions each."""
    ends = [["", "_reverse"][: 2 if module.bidirectional else 1]] * module.num_layers
    return [[_weights(module, f"l{layer}{end}") for end in both] for layer, both in enumerate(ends)]


def _weights(module: nn.LSTM | nn.GRU, end: str) -> Weights:
    if isinstance(module, nn.LSTM):
        return LayerWeights.of(module, int(end[1:].partition("_")[0]), end.endswith("_reverse"))
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if module.bias else 2]
    return GRUWeights.of(*(getattr(module, f"{name}_{end}") for name in names))


def _run(weights: Weights, inputs: Tensor, state: State, lengths: Tensor) -> Direction | GRUDirection:
    if isinstance(weights, GRUWeights):
        return GRUDirection.run(weights, inputs, state)
    return Direction(weights, inputs, state, lengths)


def _propagate_all(
    direction: Direction | GRUDirection, entering: list[Arrivals], rules: Rules, account: bool
) -> Passed:
    """The sum over all that enters: given the forward run, a pass is linear in it."""
    first, *others = entering or [Arrivals(direction.inputs.new_zeros(direction.shape))]
    passed = _propagate(direction, first, rules, account)
    for arrivals in others:
        passed = _plus(passed, _propagate(direction, arrivals, rules, account))
    return passed


def _propagate(direction: Direction | GRUDirection, arrivals: Arrivals, rules: Rules, account: bool) -> Passed:
    if isinstance(direction, GRUDirection):
        return gru.propagate(direction, arrivals, rules, account)
    if closed_form.has_closed_form(direction.weights, rules):
        return closed_form.propagate(direction, arrivals, rules, account)
    return propagation.propagate(direction, arrivals, rules, account)


def _plus(first: Passed, second: Passed) -> Passed:
    accounts = [passed.account for passed in (first, second) if passed.account is not None]
    h_0, c_0 = (a + b for a, b in zip(first.initial, second.initial, strict=True))
    return Passed(first.inputs + second.inputs, _total(accounts) if accounts else None, (h_0, c_0))


def _total(accounts: list[Account]) -> Account:
    """Sum of the accounts of all directions."""
    return Account(*(torch.stack(entries).sum(0) for entries in zip(*accounts, strict=True)))
