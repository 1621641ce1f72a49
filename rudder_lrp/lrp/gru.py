"""One layer and direction of a GRU after its forward run, and relevance back through it.

With `r`, `z` the gates and `n` the candidate, PyTorch's GRU computes

    n_t = tanh(a_t + r_t * m_t)         a_t = W_n x_t + b_n,   m_t = U_n h_{t-1} + b'_n
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Both gates scale and the pre-activation of the candidate is one linear map of `x_t` and `h_{t-1}`, with `r_t` a factor
of its recurrent weights. With `A_t` the relevance of `h_t` the pass is that of an LSTM whose cell is the hidden state:

    A_t        = carried + h_t * (r_{t+1} s_{t+1} U_n)      plus what enters from outside
    s_t        = A_t * (1 - z_t) n_t / (stabilize(h_t) stabilize(z_n,t))
    carried    = A_t * z_t h_{t-1} / stabilize(h_t)

and `R_x = x * (s W_n)`. Gates that take relevance add rows, as in an LSTM. Without `U_n` (the Markov form) `h_t` is a
sum over time and the closed form of the LSTM's cell holds for it. `docs/lrp.md` derives it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rudder_lrp.lrp.closed_form import per_cell, scan
from rudder_lrp.lrp.direction import Account, Passed
from rudder_lrp.lrp.rules import Rules, sign, stabilize
from rudder_lrp.lrp.sequences import Arrivals
from rudder_lrp.lstm import State


class GRUWeights(NamedTuple):
    """Weights of one layer and direction of a GRU, the rows in PyTorch's order r, z, n."""

    W: Tensor
    """From the inputs, `[3 H, F]`."""
    U: Tensor
    """From the hidden state, `[3 H, H]`."""
    b: Tensor
    """Both biases of the gates together and the candidate's own, `[3 H]`."""
    b_recurrent: Tensor
    """Bias of the candidate's recurrent part, which the gate r scales too, `[H]`."""

    @classmethod
    def of(cls, W: Tensor, U: Tensor, b: Tensor | None = None, b_recurrent: Tensor | None = None) -> GRUWeights:
        """From the four tensors of an `nn.GRU`, or two where it has no bias."""
        hidden = U.shape[1]
        if b is None or b_recurrent is None:
            return cls(W, U, W.new_zeros(len(W)), W.new_zeros(hidden))
        of_gates = torch.cat([b_recurrent[: 2 * hidden], torch.zeros_like(b_recurrent[2 * hidden :])])
        return cls(W, U, b + of_gates, b_recurrent[2 * hidden :])

    def run(self, inputs: Tensor, initial: Tensor) -> Tensor:
        """Run the fused kernel over `[T, B, F]` from `[B, H]`: all hidden states, `[T, B, H]`."""
        recurrent = torch.cat([torch.zeros_like(self.b[: 2 * len(self.b_recurrent)]), self.b_recurrent])
        flat = [self.W, self.U, self.b, recurrent]
        return torch.gru(inputs, initial[None], flat, True, 1, 0.0, False, False, False)[0]


class GRUDirection(NamedTuple):
    """One layer and direction, time-major, in the order in which it runs."""

    weights: GRUWeights
    inputs: Tensor
    """`[T, B, F]`, contiguous."""
    h: Tensor
    """Hidden states after each step, `[T, B, H]`, contiguous."""
    initial: State
    """h_0, `[B, H]`, twice: it is the cell state too."""

    @classmethod
    def run(cls, weights: GRUWeights, inputs: Tensor, state: State) -> GRUDirection:
        """Run the fused kernel over `[T, B, F]` from a state of `[B, H]`."""
        return cls(weights, inputs, weights.run(inputs, state[0]), state)

    def states_after(self, steps: Tensor, cell: bool) -> Tensor:
        """Hidden state after one step of each sequence, `[B]` to `[B, H]`."""
        return self.h[steps, torch.arange(len(steps), device=steps.device)]


class Trace(NamedTuple):
    """What gates and candidate did at all steps, `[T, B, H]` each."""

    before: Tensor
    """Hidden state before the step."""
    z_r: Tensor
    z_z: Tensor
    z_n: Tensor
    r: Tensor
    z: Tensor
    m: Tensor
    """`U_n h_{t-1} + b'_n`."""
    kept: Tensor
    """`z * h_{t-1}`."""
    written: Tensor
    """`(1 - z) * n`."""

    @classmethod
    def of(cls, direction: GRUDirection) -> Trace:
        """Recover them from the hidden states: two matrix products for all steps."""
        W, U, b, b_recurrent = direction.weights
        before = torch.cat([direction.initial[0][None], direction.h[:-1]])
        from_x = nn.functional.linear(direction.inputs, W, b)
        from_h = nn.functional.linear(before, U)
        x_r, x_z, x_n = from_x.chunk(3, dim=2)
        h_r, h_z, h_n = from_h.chunk(3, dim=2)
        z_r, z_z, m = x_r + h_r, x_z + h_z, h_n + b_recurrent
        r, z = z_r.sigmoid(), z_z.sigmoid()
        z_n = torch.addcmul(x_n, r, m)
        n = z_n.tanh()
        return cls(before, z_r, z_z, z_n, r, z, m, z * before, n - z * n)


class Factors(NamedTuple):
    """What a unit of relevance of `h_t` becomes, `[T, B, H]` each; rows in the order n, r, z, n alone under LRP-all."""

    kept: Tensor
    """Relevance of `h_{t-1}` through the leak."""
    x: list[Tensor]
    """Relevance for each unit of pre-activation, as the input weights of each row see it."""
    h: list[Tensor]
    """The same as its recurrent weights see it."""
    lost: Tensor
    """What the sum's stabilizer takes, and what a gate rule's shares leave of 1."""


class Paid(NamedTuple):
    """Relevance of all hidden states and where that of the first step went."""

    relevance: Tensor
    """Of each state, `[T, B, H]`; in the closed form for each unit of it."""
    initial: Tensor
    """Of h_0, `[B, H]`."""
    missing: Tensor
    """Entered where there was no state to take it, `[B]`."""


def has_closed_form(weights: GRUWeights, rules: Rules) -> bool:
    """Whether no gate takes relevance and the candidate does not see the hidden state."""
    return not rules.pays_gates and not bool(_block(weights.U, _N).any())


def propagate(direction: GRUDirection, arrivals: Arrivals, rules: Rules, account: bool) -> Passed:
    """Carry relevance from the hidden states of a direction back to its inputs.

    Args:
        direction: after its run.
        arrivals: relevance that enters the states.
        rules: how it is shared; the linear rule is epsilon.
        account: whether to say where the rest went.
    """
    trace = Trace.of(direction)
    closed = has_closed_form(direction.weights, rules)
    factors = _factors(direction.h, trace, rules, closed)
    paid = _sum_over_time(direction, arrivals, trace, rules.eps) if closed else _sweep(direction, arrivals, factors)
    s = [paid.relevance * factor for factor in factors.x]
    inputs = torch.cat(s, dim=2) @ _rows(direction.weights.W, len(s))
    inputs *= direction.inputs
    initial = paid.initial, torch.zeros_like(paid.initial)
    return Passed(inputs, _account(direction.weights, trace, factors, paid, s, rules.eps) if account else None, initial)


_N, _R, _Z = 2, 0, 1
"""Blocks of the weights."""


def _block(weight: Tensor, at: int) -> Tensor:
    return weight.chunk(3)[at]


def _rows(weight: Tensor, count: int) -> Tensor:
    """The first `count` of the blocks n, r, z, one below the other."""
    return torch.cat([_block(weight, at) for at in (_N, _R, _Z)[:count]])


def _factors(h: Tensor, trace: Trace, rules: Rules, closed: bool) -> Factors:
    """The closed form carries relevance for each unit of the state, so there the sum needs no division."""
    stable = torch.ones_like(h) if closed else stabilize(h, rules.eps)
    kept, written = trace.kept / stable, trace.written / stable
    lost = torch.zeros_like(h) if closed else rules.eps * sign(h) / stable
    if not rules.pays_gates:
        s = written / stabilize(trace.z_n, rules.eps)
        return Factors(kept, [s], [s * trace.r], lost)
    of_z, of_kept = rules.shares(trace.z_z, trace.before)
    of_rest, of_n = rules.shares(-trace.z_z, trace.z_n)
    of_r, of_m = rules.shares(trace.z_r, trace.m)
    s = written * of_n / stabilize(trace.z_n, rules.eps)
    gated = s * trace.r
    s_r = gated * trace.m * of_r / stabilize(trace.z_r, rules.eps)
    s_z = (kept * of_z + written * of_rest) / stabilize(trace.z_z, rules.eps)
    lost = lost + kept * (1.0 - of_z - of_kept) + written * (1.0 - of_rest - of_n)
    lost = lost + gated * trace.m * (1.0 - of_r - of_m)
    return Factors(kept * of_kept, [s, s_r, s_z], [gated * of_m, s_r, s_z], lost)


def _sweep(direction: GRUDirection, arrivals: Arrivals, factors: Factors) -> Paid:
    """The recursion backward in time."""
    U = _rows(direction.weights.U, len(factors.h))
    to_h = torch.stack(factors.h, dim=2)
    relevance = torch.empty_like(direction.h)
    carried, per_hidden = torch.zeros_like(direction.initial[0]), torch.zeros_like(direction.initial[0])
    rows, h = relevance.unbind(0), direction.h.unbind(0)
    for t in range(len(rows) - 1, -1, -1):
        torch.addcmul(carried, h[t], per_hidden, out=rows[t])
        arrivals.add_(t, rows[t])
        torch.mul(rows[t], factors.kept[t], out=carried)
        torch.mm(to_h[t].mul_(rows[t][:, None]).flatten(1), U, out=per_hidden)
    initial = carried + per_hidden * direction.initial[0]
    return Paid(relevance, initial, torch.zeros_like(initial[:, 0]))


def _sum_over_time(direction: GRUDirection, arrivals: Arrivals, trace: Trace, eps: float) -> Paid:
    """The closed form: `rho_t = A_t / h_t` by a scan, `rho_t = z_{t+1} rho_{t+1} + R_t / h_t`."""
    entered = arrivals.select(direction.h)
    entering = per_cell(arrivals, entered, None, eps)
    rho = direction.h.new_zeros(len(direction.h) + 1, *direction.h.shape[1:])
    scan(trace.z, entering, out=rho)
    missing = arrivals.total() - entering.replace(entering.relevance * entered).total()
    return Paid(rho[1:], rho[0] * direction.initial[0], missing)


def _account(weights: GRUWeights, trace: Trace, factors: Factors, paid: Paid, s: list[Tensor], eps: float) -> Account:
    """Where the rest went; the recurrent bias of the candidate takes its share through the gate r."""
    biases = torch.stack([part @ _block(weights.b, at) for part, at in zip(s, (_N, _R, _Z), strict=False)])
    biases[0] += (paid.relevance * factors.h[0]) @ weights.b_recurrent
    z = (trace.z_n, trace.z_r, trace.z_z)[: len(s)]
    stabilizer = sum((part * sign(row)).sum(2) * eps for part, row in zip(s, z, strict=True)) + torch.zeros_like(
        biases[0]
    )
    through_gates = [(part * stabilize(row, eps)).sum((0, 2)) for part, row in zip(s[1:], z[1:], strict=True)]
    none = torch.zeros_like(paid.missing)
    return Account(
        steps=biases.sum(0) + stabilizer,
        cell_input_bias=biases[0].sum(0),
        gate_bias=biases[1:].sum((0, 1)),
        stabilizer=stabilizer.sum(0) + (paid.relevance * factors.lost).sum((0, 2)) + paid.missing,
        through_gates=sum(through_gates, start=none),
    )
