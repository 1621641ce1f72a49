"""The fast pass of LRP-all through an LSTM: batched, four elementwise or matrix operations a step.

Everything that does not depend on the relevance is computed for all steps at once. What remains of the recursion of
`rudder_lrp.lrp.reference` is, backward in time,

    R_c   <- kept_t * R_c' + R_h                 kept_t = f_{t+1} c_t / stabilize(c_{t+1})
    s_t   <- written_t * R_c                     written_t = i_t g_t / (stabilize(c_t) stabilize(z_t))
    R_h   <- h_{t-1} * (s_t U_g)

and the inputs' relevance follows from all `s_t` in one matrix product, `R_x = x * (s W_g)`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rudder_lrp.lrp.closed_form import valid_steps
from rudder_lrp.lrp.rules import sign, stabilize
from rudder_lrp.lstm import LayerWeights, Trace, gate_rows


class CellInput(NamedTuple):
    """The weights into the cell input g."""

    W: Tensor
    """From the inputs, `[H, F]`."""
    U: Tensor
    """From the hidden state, `[H, H]`."""
    b: Tensor
    """Both biases together, `[H]`."""

    @classmethod
    def of(cls, lstm: nn.LSTM) -> CellInput:
        """Cut them out of a one-layer LSTM."""
        rows = gate_rows(lstm.hidden_size)[2]
        W, U, b = LayerWeights.of(lstm)
        return cls(W[rows], U[rows], b[rows])

    def preactivation(self, inputs: Tensor, previous_h: Tensor) -> Tensor:
        """`z = W x + U h + b` of all steps, `[B, T, H]`."""
        return inputs @ self.W.T + previous_h @ self.U.T + self.b


class Propagated(NamedTuple):
    """Outcome of a pass."""

    shares: Tensor
    """`s_t = R_g / stabilize(z)`: relevance of the cell input for each unit of its pre-activation, `[B, T, H]`."""
    stabilizer: Tensor
    """Relevance that epsilon absorbed in the cell and the cell input, `[B]`."""
    initial_state: Tensor
    """Relevance that arrived at h_0 and c_0, `[B]`."""


def propagate(
    trace: Trace, z: Tensor, cell_input: CellInput, R_last: Tensor, lengths: Tensor, eps: float
) -> Propagated:
    """Carry relevance from the last valid hidden (or cell) state back to the cell inputs of all steps.

    Args:
        trace: of the LSTM, `[B, T, H]` each.
        z: pre-activation of the cell input, `[B, T, H]`.
        cell_input: its weights.
        R_last: relevance of the state after the last valid step, `[B, H]`.
        lengths: number of valid steps, `[B]`.
        eps: stabilizer.
    """
    c_stable, z_stable = stabilize(trace.c[:, 1:], eps), stabilize(z, eps)
    kept = (trace.f * trace.c[:, :-1] / c_stable).unbind(1)
    written = (trace.i * trace.g / (c_stable * z_stable)).unbind(1)
    h = trace.h.unbind(1)
    enters = torch.nn.functional.one_hot(lengths - 1, z.shape[1]).to(z.dtype).T[..., None]
    R_c, R_h = torch.zeros_like(R_last), torch.zeros_like(R_last)
    at_cell, shares = [R_c] * z.shape[1], [R_c] * z.shape[1]
    for t in range(z.shape[1] - 1, -1, -1):
        at_cell[t] = torch.addcmul(R_c + R_h, enters[t], R_last)
        shares[t] = written[t] * at_cell[t]
        R_c = kept[t] * at_cell[t]
        R_h = h[t] * (shares[t] @ cell_input.U)
    share, cell = torch.stack(shares, 1), torch.stack(at_cell, 1)
    absorbed = eps * (cell * sign(c_stable) / c_stable + share * sign(z_stable))
    mask = valid_steps(lengths, z.shape[1])[..., None]
    return Propagated(share * mask, (absorbed * mask).sum((1, 2)), (R_c + R_h).sum(1))
