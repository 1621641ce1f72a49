"""The recurrent core: the trace of a trained `torch.nn.LSTM` and the structures made for LRP.

The fused kernels return `h` alone. Given all `h`, the gates of all steps are one matrix product, and the cell
states follow by an elementwise scan; together they are the *trace*, all that an explanation needs.

The structures of Arras et al. 2019, section 4, are constraints on the weights of an ordinary LSTM, so the fused
kernels and the standard `state_dict` stay:

- *standard*: no constraint;
- *Markov*: the cell input `g` does not see `h`, so `c_T = sum_t (prod_{s>t} f_s) i_t g_t`, whatever the gates do;
- *accumulator*: Markov with forget and output gate pinned open, read out at the cell state `c_T = sum_t i_t g_t`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""Hidden and cell state of a batch, each `[B, H]`."""

_PINNED_OPEN = 40.0  # sigmoid(40) rounds to exactly 1 in float64


class Structure(StrEnum):
    """Which connections of the LSTM are present, from all of them to the fewest."""

    STANDARD = "standard"
    MARKOV = "markov"
    ACCUMULATOR = "accumulator"


class Trace(NamedTuple):
    """What happened inside one LSTM direction; row 0 of `c` and `h` is the initial state."""

    i: Tensor
    """Input gate, `[B, T, H]`."""
    f: Tensor
    """Forget gate, `[B, T, H]`."""
    g: Tensor
    """Cell input after its tanh, `[B, T, H]`."""
    o: Tensor
    """Output gate, `[B, T, H]`."""
    c: Tensor
    """Cell state, `[B, T + 1, H]`."""
    h: Tensor
    """Hidden state, `[B, T + 1, H]`."""


class LayerWeights(NamedTuple):
    """Weights of one layer and direction of an LSTM, the rows in PyTorch's gate order i, f, g, o."""

    W: Tensor
    """From the inputs, `[4 H, F]`."""
    U: Tensor
    """From the hidden state, `[4 H, H]`."""
    b: Tensor
    """Both biases together, `[4 H]`; zero for an LSTM without bias."""

    @classmethod
    def of(cls, lstm: nn.LSTM, layer: int = 0, reverse: bool = False) -> LayerWeights:
        """Read those of one layer and direction."""
        end = f"l{layer}_reverse" if reverse else f"l{layer}"
        W, U = lstm.get_parameter(f"weight_ih_{end}"), lstm.get_parameter(f"weight_hh_{end}")
        if not lstm.bias:
            return cls(W, U, W.new_zeros(len(W)))
        return cls(W, U, lstm.get_parameter(f"bias_ih_{end}") + lstm.get_parameter(f"bias_hh_{end}"))


def gate_rows(hidden: int) -> tuple[slice, slice, slice, slice]:
    """Rows of the weights that belong to the gates i, f, g, o."""
    i, f, g, o = (slice(at * hidden, (at + 1) * hidden) for at in range(4))
    return i, f, g, o


def gates(lstm: nn.LSTM, inputs: Tensor, previous_h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gates of all steps at once from the inputs `[B, T, F]` and the hidden states before them `[B, T, H]`.

    Returns `(i, f, g, o)`, each `[B, T, H]`, in PyTorch's order.
    """
    W, U, b = LayerWeights.of(lstm)
    preactivation = nn.functional.linear(inputs, W, b) + previous_h @ U.T
    i, f, g, o = preactivation.chunk(4, dim=-1)
    return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()


def cell_states(i: Tensor, f: Tensor, g: Tensor, initial: Tensor) -> Tensor:
    """Scan `c_t = f_t c_{t-1} + i_t g_t` over time; returns `[B, T + 1, H]` with the initial row first."""
    written = i * g
    cells = [initial]
    for t in range(written.shape[1]):
        cells.append(torch.addcmul(written[:, t], f[:, t], cells[-1]))
    return torch.stack(cells, dim=1)


def trace(lstm: nn.LSTM, inputs: Tensor, state: State | None = None) -> Trace:
    """Run a one-layer, one-directional, `batch_first` LSTM over `inputs` `[B, T, F]` and recover its trace."""
    if state is None:
        zeros = inputs.new_zeros(inputs.shape[0], lstm.hidden_size)
        state = (zeros, zeros)
    outputs, _ = lstm(inputs, (state[0][None], state[1][None]))
    h = torch.cat([state[0][:, None], outputs], dim=1)
    i, f, g, o = gates(lstm, inputs, h[:, :-1])
    return Trace(i, f, g, o, cell_states(i, f, g, state[1]), h)


def constrain_(lstm: nn.LSTM, structure: Structure) -> None:
    """Set the weights that `structure` forbids to their fixed value, in place; call it after each update."""
    if structure is Structure.STANDARD:
        return
    _, f, g, o = gate_rows(lstm.hidden_size)
    with torch.no_grad():
        lstm.get_parameter("weight_hh_l0")[g] = 0.0
        if structure is Structure.ACCUMULATOR:
            for rows in (f, o):
                lstm.get_parameter("weight_ih_l0")[rows] = 0.0
                lstm.get_parameter("weight_hh_l0")[rows] = 0.0
                lstm.get_parameter("bias_ih_l0")[rows] = _PINNED_OPEN
                lstm.get_parameter("bias_hh_l0")[rows] = 0.0


def structure_of(lstm: nn.LSTM) -> Structure:
    """Find the narrowest structure that the weights of a one-layer LSTM satisfy."""
    _, f, g, o = gate_rows(lstm.hidden_size)
    W, U, b = LayerWeights.of(lstm)
    if U[g].any():
        return Structure.STANDARD
    for rows in (f, o):
        if W[rows].any() or U[rows].any() or b[rows].min() < _PINNED_OPEN:
            return Structure.MARKOV
    return Structure.ACCUMULATOR
