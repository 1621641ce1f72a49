"""All layers and directions of an `nn.LSTM`: forward once, then relevance back from the top to the inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rudder_lrp.lrp import closed_form, propagation
from rudder_lrp.lrp.dense import DensePassed
from rudder_lrp.lrp.direction import Account, Direction, Passed
from rudder_lrp.lrp.rules import Rules
from rudder_lrp.lrp.sequences import Arrivals, reverse
from rudder_lrp.lstm import LayerWeights, State


class Stack:
    """An LSTM after its forward run, each sequence within its length.

    Args:
        lstm: any; dropout between layers is left out, as in evaluation.
        inputs: `[T, B, F]`.
        lengths: valid steps of each sequence, `[B]`.
        state: initial states, `[layers * directions, B, H]` each; zero by default.
    """

    def __init__(self, lstm: nn.LSTM, inputs: Tensor, lengths: Tensor, state: State | None = None) -> None:
        self.lengths = lengths
        self.layers: list[list[Direction]] = []
        count = 2 if lstm.bidirectional else 1
        if state is None:
            zeros = inputs.new_zeros(lstm.num_layers * count, inputs.shape[1], lstm.hidden_size)
            state = zeros, zeros
        for layer in range(lstm.num_layers):
            directions = []
            for backward in range(count):
                at = layer * count + backward
                seen = reverse(inputs, lengths) if backward else inputs.contiguous()
                weights = LayerWeights.of(lstm, layer, bool(backward))
                directions.append(Direction.run(weights, seen, (state[0][at], state[1][at])))
            self.layers.append(directions)
            if layer + 1 < lstm.num_layers:
                inputs = self.outputs()

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

    def _own(self, step: Tensor) -> list[Tensor]:
        """The step in the order in which each direction runs, `[B]`."""
        last = self.lengths - 1
        return [torch.minimum(step, last), torch.where(step > last, last, last - step)]

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
        parts = relevance.chunk(len(self.layers[-1]), dim=2)
        turned = [reverse(part, self.lengths) if at else part for at, part in enumerate(parts)]
        return [Arrivals(part, len(part), at_cell=at_cell, proportional=False) for part in turned]

    def arrivals_at(self, step: Tensor, read: DensePassed, at_cell: bool) -> list[Arrivals]:
        """Relevance that a readout of the `states` at one step found for them, by direction."""
        count = len(self.layers[-1])
        per_state = [None] * count if read.per_input is None else read.per_input.chunk(count, dim=1)
        return [
            Arrivals(part, len(self.layers[-1][0].h), own, at_cell=at_cell, per_state=per_unit)
            for part, own, per_unit in zip(read.inputs.chunk(count, dim=1), self._own(step), per_state, strict=False)
        ]

    def propagate(self, arrivals: list[Arrivals], rules: Rules, account: bool) -> tuple[Tensor, list[Account]]:
        """Carry relevance from the topmost states to the inputs, `[T, B, F]`, with the account of each direction."""
        accounts: list[Account] = []
        relevance = None
        for directions in reversed(self.layers):
            if relevance is not None:
                parts = relevance.chunk(len(directions), dim=2)
                arrivals = [
                    Arrivals(reverse(part, self.lengths) if at else part, len(part)) for at, part in enumerate(parts)
                ]
            passed = [_propagate(*pair, rules, account) for pair in zip(directions, arrivals, strict=True)]
            turned = [reverse(p.inputs, self.lengths) if at else p.inputs for at, p in enumerate(passed)]
            relevance = turned[0] + turned[1] if len(turned) == 2 else turned[0]
            accounts += [self._ahead(p.account, bool(at)) for at, p in enumerate(passed) if p.account is not None]
        assert relevance is not None
        return relevance, accounts

    def _ahead(self, account: Account, backward: bool) -> Account:
        return account._replace(steps=reverse(account.steps, self.lengths)) if backward else account


def _propagate(direction: Direction, arrivals: Arrivals, rules: Rules, account: bool) -> Passed:
    if closed_form.has_closed_form(direction.weights, rules):
        return closed_form.propagate(direction, arrivals, rules, account)
    return propagation.propagate(direction, arrivals, rules, account)


def total(accounts: list[Account]) -> Account:
    """Sum of the accounts of all directions."""
    return Account(*(torch.stack(entries).sum(0) for entries in zip(*accounts, strict=True)))
