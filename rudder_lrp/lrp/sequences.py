"""Sequences of different lengths in one batch: padded on the right, reversed within their lengths."""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


def valid_steps(lengths: Tensor, horizon: int) -> Tensor:
    """Mask `[B, horizon]`, true on the steps that belong to the sequence."""
    return torch.arange(horizon, device=lengths.device) < lengths[:, None]


def padding(lengths: Tensor, horizon: int) -> Tensor | None:
    """Mask `[horizon, B, 1]`, true on the steps beyond each sequence; None if there are none."""
    return None if bool((lengths == horizon).all()) else ~valid_steps(lengths, horizon).T[..., None]


def last_valid(values: Tensor, lengths: Tensor) -> Tensor:
    """Pick step `lengths - 1` of each sequence: `[B, T, ...]` and `[B]` to `[B, ...]`."""
    return values[torch.arange(len(values), device=values.device), lengths - 1]


def without_padding(values: Tensor, lengths: Tensor) -> Tensor:
    """Set what lies beyond the length of each sequence of `[T, B, ...]` to zero, NaN included."""
    beyond = padding(lengths, len(values))
    return values if beyond is None else values.masked_fill(beyond, 0.0)


def reverse(values: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence of `[T, B, ...]` within its length; padding stays where it is. Its own inverse."""
    steps, batch = values.shape[:2]
    at = torch.arange(steps, device=values.device)[:, None]
    order = torch.where(at < lengths, lengths - 1 - at, at)
    # Whole rows of one table are several times cheaper to pick than elements by two indices.
    rows = order * batch + torch.arange(batch, device=values.device)
    return values.flatten(0, 1).index_select(0, rows.flatten()).view_as(values)


def unpack(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """A packed batch as `[B, T, F]` and its lengths `[B]`."""
    padded, lengths = pad_packed_sequence(packed, batch_first=True)
    return padded, lengths.to(padded.device)


def pack_like(packed: PackedSequence, values: Tensor) -> PackedSequence:
    """Pack `[B, T, F]` in the order of another packed batch."""
    ordered = values if packed.sorted_indices is None else values[packed.sorted_indices]
    data = torch.cat([ordered[:size, t] for t, size in enumerate(packed.batch_sizes.tolist())])
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


class Arrivals:
    """Relevance that enters the states of one direction from outside.

    Args:
        relevance: `[T, B, H]`, at every step; or `[B, H]`, at one step of each sequence.
        steps: which step that is, `[B]`, in the order in which the direction runs.
        at_cell: whether it enters at the cell state, past the output gate, instead of the hidden state.
        proportional: whether it is proportional to the state it enters, as that of a linear layer is.
        per_state: relevance for each unit of the state, where that is known.
    """

    def __init__(
        self,
        relevance: Tensor,
        steps: Tensor | None = None,
        *,
        at_cell: bool = False,
        proportional: bool = True,
        per_state: Tensor | None = None,
    ) -> None:
        self.relevance = relevance
        self.steps = steps
        self.at_cell = at_cell
        self.proportional = proportional
        self.per_state = per_state
        self._rows: dict[int, Tensor | None] = {}
        if steps is not None:
            different = steps.unique().tolist()
            self._rows = {step: (steps == step).nonzero()[:, 0] for step in different}
            if len(different) == 1:
                self._rows = {different[0]: None}

    def at_last(self, lengths: Tensor) -> bool:
        """Whether all of it enters at the last valid step of each sequence."""
        return self.steps is not None and bool((self.steps == lengths - 1).all())

    @property
    def per_cell(self) -> Tensor | None:
        """Relevance for each unit of the cell state it enters, where that is known."""
        return self.per_state if self.at_cell else None

    def select(self, values: Tensor) -> Tensor:
        """Of values `[T, B, H]` those where relevance enters, shaped like the relevance."""
        return values if self.steps is None else values[self.steps, torch.arange(len(self.steps), device=values.device)]

    def replace(self, relevance: Tensor) -> Arrivals:
        """Other values, shaped like the relevance, at the same places."""
        other = copy(self)
        other.relevance = relevance
        return other

    def add_(self, step: int, into: Tensor) -> None:
        """Add what enters at a step to `[B, H]`, in place."""
        if self.steps is None:
            into.add_(self.relevance[step])
        elif step in self._rows:
            rows = self._rows[step]
            into.add_(self.relevance) if rows is None else into.index_add_(0, rows, self.relevance[rows])

    def total(self) -> Tensor:
        """Sum of all that enters, `[B]`."""
        return self.relevance.sum(-1) if self.steps is not None else self.relevance.sum((0, 2))
