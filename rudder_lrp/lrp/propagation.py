"""The fast pass through one layer and direction: batched, three operations a step under LRP-all.

Everything that does not depend on the relevance is computed for all steps at once. Of the recursion in
`rudder_lrp.lrp.reference` remains, backward in time, with `A_t` the relevance of `c_t`,

    A_t        = carried + h_t * (s_{t+1} U)            plus what enters from outside
    s_t        = A_t * factor_t                         one factor for each block of rows that takes relevance
    carried    = A_t * f_t c_{t-1} / stabilize(c_t)

and the inputs' relevance follows from all `s_t` in one matrix product, `R_x = x * (s W)`. `docs/lrp.md` derives it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rudder_lrp.lrp.direction import (
    Account,
    Direction,
    Passed,
    Row,
    Shares,
    cell_input_weights,
    rows_and_shares,
)
from rudder_lrp.lrp.gates import Gates
from rudder_lrp.lrp.rules import Rules, sign, stabilize
from rudder_lrp.lrp.sequences import Arrivals
from rudder_lrp.lstm import State


class Factors(NamedTuple):
    """All that a sweep multiplies relevance with, computed for all steps at once."""

    slots: Tensor
    """Slot 0 carries `A_t` to `c_{t-1}`, the next ones turn it into the `s_t` of the rows g, i, f, and the last one
    turns the relevance of `h_t` into that of the row o, `[T, B, 1 + rows, H]`. A sweep replaces them by the `s_t`."""
    of_cell: Tensor | None = None
    """Share of `c_t` in `o * tanh(c)`, `[T, B, H]`; None for all of it."""
    lost: Tensor | None = None
    """Share of `A_t` that sum and products in the cell lose, `[T, B, H]`; on demand."""
    lost_at_output: Tensor | None = None
    """The same of the relevance of `h_t`."""
    units: Tensor | None = None
    """Slots filled from `A_t`, for a unit of relevance of their term of the cell's sum; only to conserve."""
    absorbed: Tensor | None = None
    """`b + eps * sign(z)` of the rows, `[T, B, rows, H]`; on demand."""


def propagate(direction: Direction, arrivals: Arrivals, rules: Rules, account: bool) -> Passed:
    """Carry relevance from the states of a direction back to its inputs.

    Args:
        direction: after its run.
        arrivals: relevance that enters the states.
        rules: how it is shared.
        account: whether to say where the rest went.
    """
    if account or rules.conserve or rules.pays_gates:
        return _propagate_in_full(direction, arrivals, rules, account)
    weights = cell_input_weights(direction, rules)
    factors = Factors(_slots_slab_by_slab(direction, rules))
    sweep = Sweep(direction, arrivals, factors, weights.U, conserve=False)
    sweep.run()
    relevance = torch.empty_like(direction.inputs)
    for steps in direction.slabs:
        torch.mul(factors.slots[steps, :, 1] @ weights.W, direction.inputs[steps], out=relevance[steps])
    return Passed(relevance, None, sweep.initial(direction.initial[0]))


def _slots_slab_by_slab(direction: Direction, rules: Rules) -> Tensor:
    """What LRP-all multiplies relevance with, a few steps at once: what they need then stays in the cache."""
    steps, batch, hidden = direction.shape
    slots = direction.inputs.new_empty(steps, batch, 2, hidden)
    c = direction.initial[1]
    for at in direction.slabs:
        gates = direction.gates(at)
        (row,), _ = rows_and_shares(direction, gates, None, rules, at)
        cells = gates.cells(c)
        stable = stabilize(cells[1:], rules.eps)
        torch.mul(gates.f, cells[:-1], out=slots[at, :, 0]).div_(stable)
        torch.div(gates.written.div_(stable), stabilize(row.z, rules.eps, out=stable), out=slots[at, :, 1])
        c = cells[-1].clone()
    return slots


def _propagate_in_full(direction: Direction, arrivals: Arrivals, rules: Rules, account: bool) -> Passed:
    """With gates that take relevance, with an account, or to conserve: all steps at once."""
    gates = direction.all_gates(rules.pays_gates)
    c = gates.cells(direction.initial[1])
    rows, shares = rows_and_shares(direction, gates, c, rules)
    factors = _factors(gates, c, rows, shares, rules, account)
    sweep = Sweep(direction, arrivals, factors, torch.cat([row.weights.U for row in rows]), rules.conserve)
    sweep.run()
    s = factors.slots[:, :, 1:]
    inputs = s.flatten(2) @ torch.cat([row.weights.W for row in rows])
    inputs.mul_(direction.inputs)
    if rules.conserve:
        inputs += torch.stack(sweep.spreads[::-1])
    initial = sweep.initial(direction.initial[0])
    return Passed(inputs, _account(s, rows, factors, sweep, rules) if account else None, initial)


def _factors(gates: Gates, c: Tensor, rows: list[Row], shares: Shares | None, rules: Rules, account: bool) -> Factors:
    """Prepare a sweep; the gates are used up."""
    before, c, eps = c[:-1], c[1:], rules.eps
    stable = stabilize(c, eps)
    written = gates.written.div_(stable)
    slots = c.new_empty(*c.shape[:2], 1 + len(rows), c.shape[2])
    kept = torch.mul(gates.f, before, out=slots[:, :, 0]).div_(stable)
    if shares is None:
        torch.div(written, stabilize(rows[0].z, eps), out=slots[:, :, 1])
        return _with_losses(Factors(slots), c, stable, rows, rules, account)
    kept = kept.clone()
    slots[:, :, 0] = shares.kept
    for at, (share, row) in enumerate(zip((shares.g, shares.i, shares.f, shares.o), rows, strict=True), start=1):
        torch.div(share, stabilize(row.z, eps), out=slots[:, :, at])
    units = slots[:, :, :4].clone() if rules.conserve else None
    for at, product in enumerate((kept, written, written, kept)):
        slots[:, :, at] *= product
    lost = written * (1.0 - shares.i - shares.g) + kept * (1.0 - shares.f - shares.kept)
    factors = Factors(slots, shares.cell, lost, 1.0 - shares.o - shares.cell, units)
    return _with_losses(factors, c, stable, rows, rules, account)


def _with_losses(factors: Factors, c: Tensor, stable: Tensor, rows: list[Row], rules: Rules, account: bool) -> Factors:
    """Add what stabilizers and biases take, where it is asked for."""
    if not (account or rules.conserve):
        return factors._replace(lost=None, lost_at_output=None)
    lost = rules.eps * sign(c) / stable
    units = factors.units
    if rules.conserve and units is None:
        units = torch.stack([torch.ones_like(c), 1.0 / stabilize(rows[0].z, rules.eps)], dim=2)
    absorbed = torch.stack([row.weights.b + rules.eps * sign(row.z) for row in rows], dim=2)
    return factors._replace(lost=lost if factors.lost is None else lost + factors.lost, units=units, absorbed=absorbed)


class Sweep:
    """The recursion backward in time; the slots of the factors hold all `s_t` afterwards.

    Args:
        direction: after its run.
        arrivals: relevance that enters the states.
        factors: of all steps.
        U: recurrent weights of the rows that take relevance, `[rows * H, H]`.
        conserve: whether to spread what is lost.
    """

    def __init__(self, direction: Direction, arrivals: Arrivals, factors: Factors, U: Tensor, conserve: bool) -> None:
        self.h = direction.h.unbind(0)
        self.arrivals = arrivals
        self.factors = factors
        self.U = U
        self.conserve = conserve
        self.feeding = direction.inputs.shape[2] + direction.h.shape[2]
        """Number of units that feed a map into the cell."""
        zeros = torch.zeros_like(direction.initial[1])
        self.carried = zeros
        """Relevance of the cell state from the step after, `[B, H]`."""
        self.per_hidden = zeros.clone()
        """Relevance of each unit of the hidden state from the step after, `[B, H]`."""
        self.hidden, self.cell, self.lost = zeros.clone(), zeros.clone(), zeros.clone()
        self.spread = zeros[:, :1]
        """Relevance that every unit feeding the step after got on top, `[B, 1]`."""
        self.spreads: list[Tensor] = []

    def run(self) -> None:
        """Sweep over all steps."""
        all_slots = self.factors.slots
        from_cell = all_slots[:, :, :4].unbind(0)
        rows = all_slots[:, :, 1:].flatten(2).unbind(0)
        enter = self._enter if self.factors.of_cell is None else self._enter_past_gate
        for t in range(len(rows) - 1, -1, -1):
            enter(t)
            from_cell[t].mul_(self.cell[:, None])
            self.carried = from_cell[t][:, 0]
            if self.conserve:
                self._spread(t, from_cell[t], rows[t])
            elif self.factors.lost is not None:
                self.lost.addcmul_(self.cell, self.factors.lost[t])
            torch.mm(rows[t], self.U, out=self.per_hidden)

    def initial(self, h_0: Tensor) -> State:
        """Relevance of the states before the first step, `[B, H]` each, after the run."""
        return self.per_hidden * h_0 + self.spread, self.carried

    def _enter(self, t: int) -> None:
        torch.addcmul(self.carried, self.h[t], self.per_hidden, out=self.cell)
        if self.conserve:
            self.cell += self.spread
        self.arrivals.add_(t, self.cell)

    def _enter_past_gate(self, t: int) -> None:
        assert self.factors.of_cell is not None
        torch.mul(self.h[t], self.per_hidden, out=self.hidden).add_(self.spread)
        if not self.arrivals.at_cell:
            self.arrivals.add_(t, self.hidden)
        torch.addcmul(self.carried, self.hidden, self.factors.of_cell[t], out=self.cell)
        if self.arrivals.at_cell:
            self.arrivals.add_(t, self.cell)
        self.factors.slots[t, :, 4].mul_(self.hidden)
        if self.factors.lost_at_output is not None:
            self.lost.addcmul_(self.hidden, self.factors.lost_at_output[t])

    def _spread(self, t: int, slots: Tensor, s: Tensor) -> None:
        """Give what the stabilizers and biases of a step absorb to all that feeds the same map, in equal parts."""
        lost, units, absorbed = self.factors.lost, self.factors.units, self.factors.absorbed
        assert lost is not None
        assert units is not None
        assert absorbed is not None
        terms = 2 * self.cell.shape[1]
        slots.addcmul_(units[t], ((self.cell * lost[t]).sum(1) / terms)[:, None, None])
        self.spread = (s * absorbed[t].flatten(1)).sum(1, keepdim=True) / self.feeding
        self.spreads.append(self.spread)


def _account(s: Tensor, rows: list[Row], factors: Factors, sweep: Sweep, rules: Rules) -> Account:
    z = torch.stack([row.z for row in rows], dim=2)[:, :, 1:]
    through_gates = (s[:, :, 1:] * stabilize(z, rules.eps)).sum((0, 2, 3))
    zero = torch.zeros_like(through_gates)
    if rules.conserve:
        return Account(s.new_zeros(s.shape[:2]), zero, zero, zero, through_gates)
    assert factors.absorbed is not None
    absorbed = (s * factors.absorbed).sum((2, 3))
    bias = torch.stack([s[:, :, at] @ row.weights.b for at, row in enumerate(rows)]).sum(1)
    stabilizer = absorbed.sum(0) - bias.sum(0) + sweep.lost.sum(1)
    return Account(absorbed, bias[0], bias[1:].sum(0), stabilizer, through_gates)
