"""One layer and direction of an LSTM after its forward run, and what a pass back through it must say."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rudder_lrp.lrp.rules import Rules, epsilon
from rudder_lrp.lrp.sequences import padding
from rudder_lrp.lstm import Gate, LayerWeights, State, cell_states

_IN_CACHE = 2**17
"""Numbers of one gate, half a megabyte in float32: a handful of such tensors stay in the cache of a core."""


class Direction(NamedTuple):
    """One layer and direction, time-major, in the order in which it runs."""

    weights: LayerWeights
    inputs: Tensor
    """`[T, B, F]`, contiguous."""
    h: Tensor
    """Hidden states after each step, `[T, B, H]`, contiguous."""
    initial: State
    """h_0 and c_0, `[B, H]` each."""
    lengths: Tensor
    """Valid steps of each sequence, `[B]`."""
    last_cell: Tensor
    """Cell state after the last of them, `[B, H]`."""

    @classmethod
    def run(cls, weights: LayerWeights, inputs: Tensor, state: State, lengths: Tensor) -> Direction:
        """Run the fused kernel over `[T, B, F]` from a state of `[B, H]` each."""
        h, last_cell = weights.run(inputs, state, padding(lengths, len(inputs)))
        return cls(weights, inputs, h, state, lengths, last_cell)

    def preactivation(self, weights: LayerWeights) -> Tensor:
        """Of some rows of the weights at all steps, `[T, B, rows]`."""
        return weights.preactivation(self.inputs, self.initial[0], self.h)

    def during(self, steps: slice) -> Direction:
        """Some of the steps; the cell states before and after them are not known."""
        h_0 = self.h[steps.start - 1] if steps.start else self.initial[0]
        return self._replace(inputs=self.inputs[steps], h=self.h[steps], initial=(h_0, self.initial[1]))

    def unknown_gates(self, pays_gates: bool) -> LayerWeights:
        """Rows of what is to be recovered: i, f (unless it is always open), g; all four where gates take relevance."""
        if pays_gates:
            return self.weights
        if self.weights.is_open(Gate.F):
            rows = self.weights.rows(Gate.I), self.weights.rows(Gate.G)
            return LayerWeights(*map(torch.cat, zip(*rows, strict=True)))
        return self.weights.cut(slice(0, Gate.O * self.weights.U.shape[1]))

    def states_after(self, steps: Tensor, cell: bool) -> Tensor:
        """Hidden (or cell) state after one step of each sequence, `[B]` to `[B, H]`."""
        if cell and bool((steps == self.lengths - 1).all()):
            return self.last_cell
        states = self.h
        if cell:
            gates = Gates.of(self, self.unknown_gates(pays_gates=False))
            states = gates.cells(self.initial[1])[1:]
        return states[steps, torch.arange(len(steps), device=steps.device)]


def slabs(h: Tensor) -> list[slice]:
    """Cut the steps of `[T, B, H]` into stretches that are worked on at once."""
    steps = max(_IN_CACHE // h[0].numel(), 1) if h.device.type == "cpu" else len(h)
    return [slice(start, min(start + steps, len(h))) for start in range(0, len(h), steps)]


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


class Gates(NamedTuple):
    """What input gate, forget gate and cell input did at all steps, `[T, B, H]` each unless said.

    Fresh memory costs more than arithmetic here, so what is used up makes room: without gates that take relevance `i`
    and `f` overwrite their pre-activations.
    """

    z: Tensor
    """Blocks i, f (unless always open), g, and o where gates take relevance, of one buffer, `[T, B, blocks, H]`."""
    z_g: Tensor
    """Pre-activation of the cell input."""
    f: Tensor
    """Forget gate."""
    written: Tensor
    """`i * g`."""
    scratch: Tensor
    """Room for states, `[T + 1, B, H]`."""

    @classmethod
    def of(cls, direction: Direction, unknown: LayerWeights) -> Gates:
        """Recover them from the hidden states and the weights of what is not known: one matrix product for all."""
        steps, batch, hidden = direction.h.shape
        z = direction.preactivation(unknown).unflatten(2, (-1, hidden))
        blocks = z.shape[2]
        g = min(blocks - 1, 2)
        gates, z_g = z[:, :, :g], z[:, :, g]
        i, f = _opened(gates.sigmoid() if blocks == len(Gate) else gates.sigmoid_())
        scratch = z.new_empty(steps + 1, batch, hidden)
        # tanh(z) = 2 sigmoid(2 z) - 1, which the CPU computes several times faster than tanh.
        written = i.mul_(torch.mul(z_g, 2.0, out=scratch[1:]).sigmoid_().mul_(2.0).sub_(1.0))
        return cls(z, z_g, f, written, scratch)

    def cells(self, initial: Tensor) -> Tensor:
        """Cell states, `[T + 1, B, H]`, the initial one first; in the scratch room."""
        return cell_states(self.written, self.f, initial, out=self.scratch)


def _opened(gates: Tensor) -> tuple[Tensor, Tensor]:
    """Input and forget gate, the latter one everywhere if it is not among `[T, B, gates, H]`."""
    i = gates[:, :, 0]
    return i, gates[:, :, 1] if gates.shape[2] > 1 else gates.new_ones(gates.shape[3]).expand_as(i)


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
    direction: Direction, gates: Gates, c: Tensor | None, rules: Rules
) -> tuple[list[Row], Shares | None]:
    """Rows that take relevance, in the order g, i, f, o, and the shares; the row g alone where no gate takes any.

    Args:
        direction: after its run.
        gates: what they did.
        c: cell states, `[T + 1, B, H]`, the initial one first; only needed where gates take relevance.
        rules: how relevance is shared.
    """
    rows = [_cell_input_row(direction, gates.z_g, rules)]
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


def _cell_input_row(direction: Direction, z_g: Tensor, rules: Rules) -> Row:
    weights = cell_input_weights(direction, rules)
    return Row(weights, z_g if rules.linear is epsilon else direction.preactivation(weights))
