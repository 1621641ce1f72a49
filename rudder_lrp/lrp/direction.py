"""One layer and direction of an LSTM after its forward run, and what a pass back through it must say."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from rudder_lrp.lrp.rules import Rules, epsilon
from rudder_lrp.lstm import Gate, LayerWeights, State, cell_states


class Direction(NamedTuple):
    """One layer and direction, time-major, in the order in which it runs."""

    weights: LayerWeights
    inputs: Tensor
    """`[T, B, F]`, contiguous."""
    h: Tensor
    """Hidden states, `[T + 1, B, H]`, the initial one first."""
    initial_cell: Tensor
    """`[B, H]`."""

    @classmethod
    def run(cls, weights: LayerWeights, inputs: Tensor, state: State) -> Direction:
        """Run the fused kernel over `[T, B, F]` from a state of `[B, H]` each."""
        return cls(weights, inputs, weights.run(inputs, state), state[1])

    def preactivation(self, weights: LayerWeights) -> Tensor:
        """Of the rows of one gate at all steps, `[T, B, H]`."""
        return weights.preactivation(self.inputs, self.h[:-1])


class Account(NamedTuple):
    """Where relevance went that did not reach the inputs of the direction, `[B]` each unless said."""

    steps: Tensor
    """Absorbed at each step by the biases and stabilizers of the maps into the cell, `[T, B]`."""
    cell_input_bias: Tensor
    gate_bias: Tensor
    stabilizer: Tensor
    initial_hidden: Tensor
    initial_cell: Tensor
    through_gates: Tensor


class Passed(NamedTuple):
    """Outcome of a pass."""

    inputs: Tensor
    """Relevance of each input, `[T, B, F]`."""
    account: Account | None
    """Only on demand."""


class Cells(NamedTuple):
    """What the cells did at all steps, `[T, B, H]` each unless said."""

    z_g: Tensor
    """Pre-activation of the cell input."""
    z_i: Tensor | None
    """Pre-activation of the input gate; None where no gate takes relevance."""
    z_f: Tensor | None
    """The same of the forget gate."""
    written: Tensor
    """`i * g`."""
    f: Tensor
    """Forget gate."""
    c: Tensor
    """Cell states, `[T + 1, B, H]`, the initial one first."""

    @classmethod
    def of(cls, direction: Direction, pays_gates: bool) -> Cells:
        """Recover them from the hidden states."""
        rows = (direction.weights.rows(gate) for gate in (Gate.G, Gate.I, Gate.F))
        z_g, z_i, z_f = (direction.preactivation(weights) for weights in rows)
        i, f = (z.sigmoid() if pays_gates else z.sigmoid_() for z in (z_i, z_f))
        written = i.mul_(z_g.tanh())
        c = cell_states(written, f, direction.initial_cell)
        return cls(z_g, z_i if pays_gates else None, z_f if pays_gates else None, written, f, c)


class Row(NamedTuple):
    """A block of H rows of the weights through which relevance passes back to `x` and `h`."""

    weights: LayerWeights
    """In the form of the linear rule."""
    z: Tensor
    """Denominator before the stabilizer, `[T, B, H]`."""


def cells_after(direction: Direction) -> Tensor:
    """Cell states of a direction, `[T + 1, B, H]`, the initial one first."""
    return Cells.of(direction, pays_gates=False).c


class Shares(NamedTuple):
    """How the gate rule divides the three products, `[T, B, H]` each."""

    i: Tensor
    g: Tensor
    f: Tensor
    kept: Tensor
    o: Tensor
    cell: Tensor


def rows_and_shares(direction: Direction, cells: Cells, rules: Rules) -> tuple[list[Row], Shares | None]:
    """Rows that take relevance, in the order g, i, f, o, and the shares; the row g alone where no gate takes any."""
    rows = [_cell_input_row(direction, cells.z_g, rules)]
    if cells.z_i is None or cells.z_f is None:
        return rows, None
    i, f, o = (direction.weights.rows(gate) for gate in (Gate.I, Gate.F, Gate.O))
    rows += [Row(i, cells.z_i), Row(f, cells.z_f), Row(o, direction.preactivation(o))]
    products = (cells.z_i, cells.z_g), (cells.z_f, cells.c[:-1]), (rows[3].z, cells.c[1:])
    return rows, Shares(*(share for product in products for share in rules.shares(*product)))


def _cell_input_row(direction: Direction, z_g: Tensor, rules: Rules) -> Row:
    """The rows of the cell input under the linear rule."""
    weights = direction.weights.rows(Gate.G)
    if rules.linear is epsilon:
        return Row(weights, z_g)
    weights = LayerWeights(*(rules.linear(part) for part in weights))
    return Row(weights, direction.preactivation(weights))
