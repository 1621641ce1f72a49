"""What a predictor's cells hold after each step of an episode, differentiable: gates, scans, hidden states.

Where the gates see the inputs alone no step waits for another; the other structures run in the fused kernel, and what
it does not return is computed again. See `rudder_lrp.lstm`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from rudder_lrp.lstm import Gate, LayerWeights, gate_rows, tanh


def cell_gates(lstm: nn.LSTM, inputs: Tensor, previous_h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the cell state is made of, for all steps at once, on a structure without recurrent cell input.

    From the inputs `[B, T, F]` and the hidden states before them `[B, T, H]`; returns `(i, f, g)`, each `[B, T, H]`.
    """
    hidden = lstm.hidden_size
    W, U, b = LayerWeights.of(lstm)
    z = nn.functional.linear(inputs, W[: 3 * hidden], b[: 3 * hidden])
    gates = (z[..., : 2 * hidden] + previous_h @ U[: 2 * hidden].T).sigmoid()
    return gates[..., :hidden], gates[..., hidden:], z[..., 2 * hidden :].tanh()


def minimal_states(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    """Hidden states of a minimal LSTM over `[B, T, F]`, from zeros, `[B, T, H]`: two products and one scan."""
    W, _, b = LayerWeights.of(lstm)
    return cast(Tensor, _Minimal.apply(nn.functional.linear(inputs, W, b)))  # type: ignore[no-untyped-call]


def written(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    """What an accumulator adds to its cells, `i_t g_t` from `[B, T, F]`, `[B, T, H]`."""
    W, _, b = LayerWeights.of(lstm)
    i, _, g, _ = gate_rows(lstm.hidden_size)
    opened, entering = (nn.functional.linear(inputs, W[rows], b[rows]) for rows in (i, g))
    return opened.sigmoid() * entering.tanh()


_through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
_through_tanh = torch.ops.aten.tanh_backward.grad_input


class _Minimal(torch.autograd.Function):
    """Hidden states from the pre-activations of all gates `[B, T, 4 H]`.

    As one node of the graph, whose gradient is written where it belongs: what autograd takes apart it copies.
    """

    @staticmethod
    def forward(context: Any, z: Tensor) -> Tensor:
        opened = z.sigmoid()
        i, f, g, o = opened.chunk(4, dim=-1)
        tanh(z.chunk(4, dim=-1)[Gate.G], out=g)
        c = _in_blocks(f, i * g)
        let_out = tanh(c, out=torch.empty_like(c))
        context.save_for_backward(opened, c, let_out)
        return o * let_out

    @staticmethod
    def backward(context: Any, *of_outputs: Tensor) -> Tensor:
        (of_h,), (opened, c, let_out) = of_outputs, context.saved_tensors
        of_z = torch.empty_like(opened)
        (i, f, g, o), (of_i, of_f, of_g, of_o) = opened.chunk(4, dim=-1), of_z.chunk(4, dim=-1)
        _through_sigmoid(of_h * let_out, o, grad_input=of_o)
        of_written = _in_blocks(_following(f), torch.ops.aten.tanh_backward(of_h * o, let_out), back=True)
        of_f[:, 0] = 0.0
        torch.mul(of_written[:, 1:], c[:, :-1], out=of_f[:, 1:])
        _through_sigmoid(of_f, f, grad_input=of_f)
        _through_sigmoid(of_written * g, i, grad_input=of_i)
        _through_tanh(of_written * i, g, grad_input=of_g)
        return of_z


def scan(f: Tensor, written: Tensor) -> Tensor:
    """`c_t = f_t c_{t-1} + written_t` from `c_0 = 0` for all steps, `[B, T, H]` each; differentiable."""
    return cast(Tensor, _Scan.apply(f, written))  # type: ignore[no-untyped-call]


class _Scan(torch.autograd.Function):
    """The gradient of a scan is a scan back in time: `dL/dwritten_t = dL/dc_t + f_{t+1} dL/dwritten_{t+1}`."""

    @staticmethod
    def forward(context: Any, f: Tensor, written: Tensor) -> Tensor:
        c = _in_blocks(f, written)
        context.save_for_backward(f, c)
        return c

    @staticmethod
    def backward(context: Any, *of_outputs: Tensor) -> tuple[Tensor, Tensor]:
        f, c = context.saved_tensors
        of_written = _in_blocks(_following(f), of_outputs[0], back=True)
        of_f = torch.zeros_like(f)
        torch.mul(of_written[:, 1:], c[:, :-1], out=of_f[:, 1:])
        return of_f, of_written


def _in_blocks(f: Tensor, written: Tensor, back: bool = False) -> Tensor:
    """Scan blocks of about sqrt(T) steps side by side, then join them one after the other; `back` in time if asked for.

    Only products of gates occur: nothing overflows.
    """
    steps = f.shape[1]
    size = math.isqrt(max(steps - 1, 0)) + 1
    # `passed` is the gates at first, and then how much of what stood before its block a step still has.
    blocks, passed = (_split(whole, size) for whole in (written, f))
    within, along = list(range(size)), list(range(blocks.shape[1]))
    if back:
        within.reverse()
        along.reverse()
    rows, shares = blocks.unbind(2), passed.unbind(2)
    for before, step in pairwise(within):
        rows[step].addcmul_(shares[step], rows[before])
        shares[step].mul_(shares[before])
    wholes, shares = blocks.unbind(1), passed.unbind(1)
    for before, block in pairwise(along):
        wholes[block].addcmul_(shares[block], wholes[before][:, within[-1], None])
    return blocks.flatten(1, 2)[:, :steps]


def _following(f: Tensor) -> Tensor:
    """The gate of the step after each, `[B, T, H]`; shut after the last."""
    return torch.cat([f[:, 1:], torch.zeros_like(f[:, :1])], dim=1)


def _split(whole: Tensor, size: int) -> Tensor:
    """A copy of `[B, T, H]` in blocks `[B, N, size, H]`, zeros behind it."""
    blocks = -(-whole.shape[1] // size)
    padded = whole.new_zeros(len(whole), blocks * size, whole.shape[2])
    padded[:, : whole.shape[1]] = whole
    return padded.view(len(whole), blocks, size, -1)
