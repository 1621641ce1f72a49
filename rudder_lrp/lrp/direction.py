"""One layer and direction of an LSTM after its forward run, and what a pass back through it must say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from rudder_lrp.lrp.gates import Gates
from rudder_lrp.lrp.rules import Rules, epsilon
from rudder_lrp.lrp.sequences import padding
from rudder_lrp.lstm import Gate, LayerWeights, State

_IN_CACHE = 2**17
"""Numbers of one gate, half a megabyte in float32: a handful of such tensors stay in the cache of a core."""


class Direction:
    """One layer and direction of an LSTM, time-major, in the order in which it runs.

    Its states are found when they are first asked for. Where a gate sees the hidden state that takes the fused kernel.
    Where none does, no step waits for another: the gates follow from the inputs, and the cell state from them, so a
    pass back that asks for nothing else finds both known, and the kernel never runs.

    Args:
        weights: of the layer and direction.
        inputs: `[T, B, F]`, contiguous.
        initial: h_0 and c_0, `[B, H]` each.
        lengths: valid steps of each sequence, `[B]`.
    """

    def __init__(self, weights: LayerWeights, inputs: Tensor, initial: State, lengths: Tensor) -> None:
        self.weights = weights
        self.inputs = inputs
        self.initial = initial
        self.lengths = lengths
        self._recurrent = bool(weights.recurrent_rows())
        # On a GPU a kernel a step costs more than the fused one.
        self._waits = self._recurrent or inputs.device.type != "cpu"

    @property
    def shape(self) -> tuple[int, int, int]:
        """T, B, H."""
        return (*self.inputs.shape[:2], self.weights.U.shape[1])

    @property
    def slabs(self) -> list[slice]:
        """Stretches of steps that are worked on at once."""
        return slabs(self.shape, self.inputs.device)

    @cached_property
    def _ran(self) -> State:
        return self.weights.run(self.inputs, self.initial, self._padding)

    @property
    def h(self) -> Tensor:
        """Hidden states after each step, `[T, B, H]`, contiguous."""
        return self._ran[0]

    @cached_property
    def last_cell(self) -> Tensor:
        """Cell state after the last valid step of each sequence, `[B, H]`."""
        if self._waits:
            return self._ran[1]
        c = self.initial[1]
        for gates in self._known:
            c = gates.last_cell(c)
        return c

    def gates_of_slabs(self) -> Iterator[tuple[slice, Gates]]:
        """Slabs and what the gates did in them, the last one first; not to be written to."""
        known = reversed(self._known) if not self._waits else map(self.gates, reversed(self.slabs))
        yield from zip(reversed(self.slabs), known, strict=True)

    def gates(self, steps: slice) -> Gates:
        """What they did at some of the steps, with a scratch room that all of those share."""
        return Gates.of(self._blocks(self._unknown, steps), self._room)

    def all_gates(self, pays_gates: bool) -> Gates:
        """What they did at all steps, the output gate too where gates take relevance."""
        return Gates.of(self._blocks(self.weights if pays_gates else self._unknown, slice(None)))

    def _blocks(self, weights: LayerWeights, steps: slice) -> Tensor:
        z = self.preactivation(weights, steps)
        return z.view(*z.shape[:2], -1, self.shape[2])

    @cached_property
    def _unknown(self) -> LayerWeights:
        """Rows of what a pass has to recover: i, f (unless it is always open), g."""
        if self.weights.is_open(Gate.F):
            rows = self.weights.rows(Gate.I), self.weights.rows(Gate.G)
            return LayerWeights(*map(torch.cat, zip(*rows, strict=True)))
        return self.weights.cut(slice(0, Gate.O * self.shape[2]))

    @cached_property
    def _room(self) -> Tensor:
        longest = self.slabs[0]
        return self.inputs.new_empty(longest.stop + 1, *self.shape[1:])

    @cached_property
    def _known(self) -> list[Gates]:
        """What the gates did, slab by slab, and on padding nothing that changes a cell."""
        known = list(map(self.gates, self.slabs))
        if self._padding is not None:
            for steps, gates in zip(self.slabs, known, strict=True):
                gates.pause_(self._padding[steps])
        return known

    @cached_property
    def _padding(self) -> Tensor | None:
        return padding(self.lengths, len(self.inputs))

    def preactivation(self, weights: LayerWeights, steps: slice = slice(None)) -> Tensor:
        """Of some rows of the weights at some of the steps, `[T, B, rows]`."""
        if not self._recurrent:
            return weights.preactivation(self.inputs[steps])
        h_0 = self.h[steps.start - 1] if steps.start else self.initial[0]
        return weights.preactivation(self.inputs[steps], h_0, self.h[steps])

    def states_after(self, steps: Tensor, cell: bool) -> Tensor:
        """Hidden (or cell) state after one step of each sequence, `[B]` to `[B, H]`."""
        at = steps, torch.arange(len(steps), device=steps.device)
        at_last = bool((steps == self.lengths - 1).all())
        if cell and not at_last:
            return self.all_gates(pays_gates=False).cells(self.initial[1])[1:][at]
        if cell:
            return self.last_cell
        if at_last and not self._waits:
            opened = self.weights.rows(Gate.O).preactivation(self.inputs[at][None])[0].sigmoid_()
            return opened.mul_(self.last_cell.tanh())
        return self.h[at]


def slabs(shape: tuple[int, int, int], device: torch.device) -> list[slice]:
    """Cut the steps of `[T, B, H]` into stretches that are worked on at once."""
    steps, batch, hidden = shape
    length = max(_IN_CACHE // (batch * hidden), 1) if device.type == "cpu" else steps
    return [slice(start, min(start + length, steps)) for start in range(0, steps, length)]


class Account(NamedTuple):
    """Where relevance went that did not reach the inputs of the direction, `[B]` each unless said."""

    steps: Tensor
    """Absorbed at each step by the biases and stabilizers of the maps into the cell, `[T, B]`."""
    cell_input_bias: Tensor
    gate_bias: Tensor
    stabilizer: Tensor
    through_gates: Tensor


class Passed(NamedTuple):
    """Outcome of a pass."""

    inputs: Tensor
    """Relevance of each input, `[T, B, F]`."""
    account: Account | None
    """Only on demand."""
    initial: State
    """Relevance of h_0 and c_0, `[B, H]` each."""


class Row(NamedTuple):
    """A block of H rows of the weights through which relevance passes back to `x` and `h`."""

    weights: LayerWeights
    """In the form of the linear rule."""
    z: Tensor
    """Denominator before the stabilizer, `[T, B, H]`."""


class Shares(NamedTuple):
    """How the gate rule divides the three products, `[T, B, H]` each."""

    i: Tensor
    g: Tensor
    f: Tensor
    kept: Tensor
    o: Tensor
    cell: Tensor


def rows_and_shares(
    direction: Direction, gates: Gates, c: Tensor | None, rules: Rules, steps: slice = slice(None)
) -> tuple[list[Row], Shares | None]:
    """Rows that take relevance, in the order g, i, f, o, and the shares; the row g alone where no gate takes any.

    Args:
        direction: after its run.
        gates: what they did.
        c: cell states, `[T + 1, B, H]`, the initial one first; only needed where gates take relevance.
        rules: how relevance is shared.
        steps: which those are.
    """
    rows = [_cell_input_row(direction, gates.z_g, rules, steps)]
    if not rules.pays_gates or c is None:
        return rows, None
    z_i, z_f, _, z_o = gates.z.unbind(2)
    rows += [Row(direction.weights.rows(gate), z) for gate, z in ((Gate.I, z_i), (Gate.F, z_f), (Gate.O, z_o))]
    products = (z_i, gates.z_g), (z_f, c[:-1]), (z_o, c[1:])
    return rows, Shares(*(share for product in products for share in rules.shares(*product)))


def cell_input_weights(direction: Direction, rules: Rules) -> LayerWeights:
    """The rows of the cell input, in the form of the linear rule."""
    weights = direction.weights.rows(Gate.G)
    return weights if rules.linear is epsilon else LayerWeights(*(rules.linear(part) for part in weights))


def _cell_input_row(direction: Direction, z_g: Tensor, rules: Rules, steps: slice) -> Row:
    weights = cell_input_weights(direction, rules)
    return Row(weights, z_g if rules.linear is epsilon else direction.preactivation(weights, steps))
