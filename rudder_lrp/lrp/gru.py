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
from torch import Tensor

from rudder_lrp.lrp.closed_form import per_cell, scan
from rudder_lrp.lrp.direction import Account, Passed, slabs
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


class GRUDirection(NamedTuple):
    """One layer and direction, time-major, in the order in which it runs."""

    weights: GRUWeights
    inputs: Tensor
    """`[T, B, F]`, contiguous."""
    initial: State
    """h_0, `[B, H]`, twice: it is the cell state too."""
    h: Tensor
    """Hidden states after each step, `[T, B, H]`, contiguous."""
    z_gates: Tensor
    """Pre-activations of r and z, `[T, B, 2 H]`."""
    z_n: Tensor
    """Pre-activation of the candidate, `[T, B, H]`."""
    m: Tensor
    """`U_n h_{t-1} + b'_n`, `[T, B, H]`."""

    @classmethod
    def run(cls, weights: GRUWeights, inputs: Tensor, state: State) -> GRUDirection:
        """Run over `[T, B, F]` from a state of `[B, H]`.

        On a CPU the fused kernel consists of the same operations, so it is no faster, and keeps to itself what a pass
        back has to know.
        """
        before, hidden = state[0], len(weights.b_recurrent)
        x, (W, U, b, b_recurrent) = inputs.flatten(0, 1), weights
        of_gates, of_n = U[: 2 * hidden].T, U[2 * hidden :].T
        z_gates = torch.addmm(b[: 2 * hidden], x, W[: 2 * hidden].T).view(*inputs.shape[:2], -1)
        z_n = torch.addmm(b[2 * hidden :], x, W[2 * hidden :].T).view(*inputs.shape[:2], -1)
        h, m = torch.empty_like(z_n), torch.empty_like(z_n)
        gates, n = torch.empty_like(z_gates[0]), torch.empty_like(z_n[0])
        r, z = gates.chunk(2, dim=1)
        for z_rz, z_nt, m_t, h_t in zip(*(part.unbind(0) for part in (z_gates, z_n, m, h)), strict=True):
            torch.sigmoid(z_rz.addmm_(before, of_gates), out=gates)
            torch.addmm(b_recurrent, before, of_n, out=m_t)
            torch.tanh(z_nt.addcmul_(r, m_t), out=n)
            before = torch.lerp(n, before, z, out=h_t)
        return cls(weights, inputs, state, h, z_gates, z_n, m)

    @property
    def shape(self) -> tuple[int, int, int]:
        """T, B, H."""
        return (*self.inputs.shape[:2], self.h.shape[2])

    @property
    def slabs(self) -> list[slice]:
        """Stretches of steps that are worked on at once."""
        return slabs(self.shape, self.inputs.device)

    def states_after(self, steps: Tensor, cell: bool) -> Tensor:
        """Hidden state after one step of each sequence, `[B]` to `[B, H]`."""
        return self.h[steps, torch.arange(len(steps), device=steps.device)]


class Trace(NamedTuple):
    """What gates and candidate did at some steps, `[T, B, H]` each."""

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
    """`(1 - z) * n`: what of `h_t` is not kept."""

    @classmethod
    def of(cls, direction: GRUDirection, steps: slice) -> Trace:
        """During some of the steps."""
        h, z_gates = direction.h[steps], direction.z_gates[steps]
        first = direction.h[steps.start - 1] if steps.start else direction.initial[0]
        before = torch.cat([first[None], h[:-1]])
        z_r, z_z = z_gates.chunk(2, dim=2)
        r, z = z_gates.sigmoid().chunk(2, dim=2)
        kept = z * before
        return cls(before, z_r, z_z, direction.z_n[steps], r, z, direction.m[steps], kept, h - kept)


class Factors(NamedTuple):
    """What a unit of relevance of `h_t` (in the closed form, of `A_t / h_t`) becomes, found for all steps at once."""

    slots: Tensor
    """Slot 0 carries it to `h_{t-1}`, the last turns it into what the input weights of the candidate n see, and those
    between into what the recurrent weights of n see, and where gates take relevance both weights of r and of z,
    `[T, B, slots, H]`. A pass replaces all but the first by these `s_t`."""
    rows: Tensor | None = None
    """Denominators of what the input weights see, `[T, B, rows, H]`; on demand."""
    lost: Tensor | None = None
    """What the sum's stabilizer takes, and what a gate rule's shares leave of 1, `[T, B, H]`; on demand."""

    @property
    def of_h(self) -> Tensor:
        """What the recurrent weights see, the rows n, r, z or n alone, `[T, B, rows * H]`."""
        return self.slots[:, :, 1:-1].flatten(2)

    @property
    def of_x(self) -> Tensor:
        """What the input weights see, the rows r, z, n or n alone, `[T, B, rows, H]`."""
        return self.slots[:, :, 2:]


class Paid(NamedTuple):
    """What did not go on to the inputs."""

    initial: Tensor
    """Relevance of h_0, `[B, H]`."""
    lost: Tensor
    """Absorbed by the sums that the states are, `[B]`, where there is an account."""


def has_closed_form(weights: GRUWeights, rules: Rules) -> bool:
    """Whether no gate takes relevance and the candidate does not see the hidden state."""
    return not rules.pays_gates and not bool(_of_candidate(weights.U).any())


def propagate(direction: GRUDirection, arrivals: Arrivals, rules: Rules, account: bool) -> Passed:
    """Carry relevance from the hidden states of a direction back to its inputs.

    Args:
        direction: after its run.
        arrivals: relevance that enters the states.
        rules: how it is shared; the linear rule is epsilon.
        account: whether to say where the rest went.
    """
    closed = has_closed_form(direction.weights, rules)
    factors = _factors(direction, rules, closed, account)
    paid = (_sum_over_time if closed else _sweep)(direction, arrivals, factors, rules.eps)
    W = direction.weights.W if rules.pays_gates else _of_candidate(direction.weights.W)
    inputs = torch.empty_like(direction.inputs)
    for steps in direction.slabs:
        torch.mul(factors.of_x[steps].flatten(2) @ W, direction.inputs[steps], out=inputs[steps])
    initial = paid.initial, torch.zeros_like(paid.initial)
    return Passed(inputs, _account(direction.weights, factors, paid, rules.eps) if account else None, initial)


def _of_candidate(weight: Tensor) -> Tensor:
    """The last of the blocks r, z, n of weights."""
    return weight.chunk(3)[2]


def _factors(direction: GRUDirection, rules: Rules, closed: bool, account: bool) -> Factors:
    """A few steps at once: what they need then stays in the cache."""
    h, rows = direction.h, 3 if rules.pays_gates else 1
    slots = h.new_empty(*h.shape[:2], rows + 2, h.shape[2])
    z = h.new_empty(*h.shape[:2], rows, h.shape[2]) if account else None
    lost = torch.zeros_like(h) if account else None
    for steps in direction.slabs:
        trace = Trace.of(direction, steps)
        _fill(slots[steps], trace, None if closed else stabilize(h[steps], rules.eps), rules.eps)
        missing = _share_with_gates(slots[steps], trace, rules) if rules.pays_gates else 0.0
        if z is not None and lost is not None:
            z[steps] = torch.stack([trace.z_r, trace.z_z, trace.z_n][-rows:], dim=2)
            lost[steps] = missing if closed else missing + rules.eps * sign(h[steps]) / stabilize(h[steps], rules.eps)
    return Factors(slots, z, lost)


def _fill(slots: Tensor, trace: Trace, stable: Tensor | None, eps: float) -> None:
    """The slots under LRP-all; the closed form carries relevance for each unit of the state, without division."""
    kept, written = trace.z, trace.written
    if stable is not None:
        kept, written = trace.kept.div_(stable), trace.written.div_(stable)
    slots[:, :, 0] = kept
    s = torch.div(written, stabilize(trace.z_n, eps), out=slots[:, :, -1])
    torch.mul(s, trace.r, out=slots[:, :, 1])


def _share_with_gates(slots: Tensor, trace: Trace, rules: Rules) -> Tensor:
    """Let the gates take their shares of the slots; what a unit loses by that, `[T, B, H]`."""
    z_r, z_z, z_n = trace.z_r, trace.z_z, trace.z_n
    kept, of_m, s_r, s_z, s_n = slots.unbind(2)
    of_z, of_kept = rules.shares(z_z, trace.before)
    of_rest, of_n = rules.shares(-z_z, z_n)
    of_r, of_signal = rules.shares(z_r, trace.m)
    product = of_m.mul_(of_n) * trace.m
    lost = kept * (1.0 - of_z - of_kept) + trace.written * (1.0 - of_rest - of_n)
    lost += product * (1.0 - of_r - of_signal)
    torch.div(product * of_r, stabilize(z_r, rules.eps), out=s_r)
    torch.div(kept * of_z + trace.written * of_rest, stabilize(z_z, rules.eps), out=s_z)
    kept *= of_kept
    of_m *= of_signal
    s_n *= of_n
    return lost


def _sweep(direction: GRUDirection, arrivals: Arrivals, factors: Factors, eps: float) -> Paid:
    """The recursion backward in time."""
    r, z, n = direction.weights.U.chunk(3)
    slots, of_h = factors.slots.unbind(0), factors.of_h.unbind(0)
    U = n if len(of_h[0][0]) == len(n) else torch.cat([n, r, z])
    carried, per_hidden, relevance, lost = torch.zeros_like(direction.initial[0]).expand(4, -1, -1).clone()
    for t in range(len(slots) - 1, -1, -1):
        torch.addcmul(carried, direction.h[t], per_hidden, out=relevance)
        arrivals.add_(t, relevance)
        carried = slots[t].mul_(relevance[:, None])[:, 0]
        torch.mm(of_h[t], U, out=per_hidden)
        if factors.lost is not None:
            lost.addcmul_(relevance, factors.lost[t])
    return Paid(carried + per_hidden * direction.initial[0], lost.sum(1))


def _sum_over_time(direction: GRUDirection, arrivals: Arrivals, factors: Factors, eps: float) -> Paid:
    """The closed form: `rho_t = A_t / h_t` by a scan, `rho_t = z_{t+1} rho_{t+1} + R_t / h_t`."""
    entered = arrivals.select(direction.h)
    entering = per_cell(arrivals, entered, None, eps)
    rho = direction.h.new_zeros(len(direction.h) + 1, *direction.h.shape[1:])
    scan(factors.slots[:, :, 0], entering, out=rho)
    factors.slots.mul_(rho[1:, :, None])
    missing = arrivals.total() - entering.replace(entering.relevance * entered).total()
    return Paid(rho[0] * direction.initial[0], missing)


def _account(weights: GRUWeights, factors: Factors, paid: Paid, eps: float) -> Account:
    """Where the rest went; the recurrent bias of the candidate takes its share through the gate r."""
    assert factors.rows is not None
    s, z = factors.of_x, factors.rows
    biases = (s * weights.b.view(3, -1)[-s.shape[2] :]).sum(3)
    biases[:, :, -1] += factors.slots[:, :, 1] @ weights.b_recurrent
    stabilizer = eps * (s * sign(z)).sum((2, 3))
    return Account(
        steps=biases.sum(2) + stabilizer,
        cell_input_bias=biases[:, :, -1].sum(0),
        gate_bias=biases[:, :, :-1].sum((0, 2)),
        stabilizer=stabilizer.sum(0) + paid.lost,
        through_gates=(s * stabilize(z, eps))[:, :, :-1].sum((0, 2, 3)),
    )
