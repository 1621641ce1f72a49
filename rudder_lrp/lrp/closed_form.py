"""Relevance in closed form where none of it travels back through the hidden state.

If the rows of the weights that take relevance have no recurrent connection, then `R_c / c` obeys

    rho_t = f_{t+1} rho_{t+1} + R_t / c_t            R_t: what enters at step t from outside

whatever the gates do, because `c_t = f_t c_{t-1} + i_t g_t` shares by its own terms: LRP with eps -> 0 in the cell, in
the limit, without division by small numbers and without leak. The relevance of the cell input is `i_t g_t rho_t`.
Read out once at the end by weights `w` (Arras et al. 2019, section 4) this is

    R_tk = w_k o_Tk tanh(c_Tk) / c_Tk (prod_{s>t} f_sk) i_tk g_tk,        sum_tk R_tk = w . h_T

for a zero initial cell state. On the accumulator the readout reads `c_T` itself and `R_tk = w_k i_tk g_tk`, whose sum
over the cells is also the difference of consecutive predictions. The gate rules enter as factors, as elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rudder_lrp.lrp.direction import Account, Direction, Passed, Row, Shares, rows_and_shares
from rudder_lrp.lrp.rules import Rules, sign, stabilize
from rudder_lrp.lrp.sequences import Arrivals
from rudder_lrp.lstm import Gate, LayerWeights


def has_closed_form(weights: LayerWeights, rules: Rules) -> bool:
    """Whether the recurrent weights of all rows that take relevance are zero.

    Not used to conserve what stabilizers and biases absorb: that is spread over the hidden state too.
    """
    takes_relevance = weights.U if rules.pays_gates else weights.rows(Gate.G).U
    return not rules.conserve and not bool(takes_relevance.any())


def propagate(direction: Direction, arrivals: Arrivals, rules: Rules, account: bool) -> Passed:
    """Carry relevance from the states of a direction back to its inputs; arguments as in the step-by-step pass."""
    if not (account or _needs_all_cells(direction, arrivals, rules)):
        return _slab_by_slab(direction, arrivals, rules)
    gates = direction.all_gates(rules.pays_gates)
    c = gates.cells(direction.initial[1])
    rows, shares = rows_and_shares(direction, gates, c, rules)
    c_entered = arrivals.select(c[1:])
    entering = per_cell(arrivals, c_entered, shares, rules.eps)
    rho = torch.zeros_like(gates.scratch)
    scan(gates.f if shares is None else gates.f * shares.kept, entering, out=rho)
    of_written = gates.written.mul_(rho[1:])
    products = [of_written]
    if shares is not None:
        of_kept = gates.f * c[:-1] * rho[1:]
        products = [of_written * shares.g, of_written * shares.i, of_kept * shares.f, _of_output_gate(arrivals, shares)]
    s = [_divide(product, stabilize(row.z, rules.eps)) for product, row in zip(products, rows, strict=True)]
    inputs = s[0] @ rows[0].weights.W
    for part, row in zip(s[1:], rows[1:], strict=True):
        inputs += part @ row.weights.W
    inputs.mul_(direction.inputs)
    initial = torch.zeros_like(rho[0]), rho[0] * direction.initial[1]
    if not account:
        return Passed(inputs, None, initial)
    lost = arrivals.total() - entering.replace(entering.relevance * c_entered).total()
    if shares is not None:
        lost = lost - products[3].sum((0, 2))
        lost += (of_written * (1.0 - shares.i - shares.g) + of_kept * (1.0 - shares.f - shares.kept)).sum((0, 2))
    return Passed(inputs, _account(s, products, rows, lost, rules.eps), initial)


def _needs_all_cells(direction: Direction, arrivals: Arrivals, rules: Rules) -> bool:
    """Whether the last cell state, which the fused kernel returns, is not enough."""
    return rules.pays_gates or not (arrivals.at_last(direction.lengths) or arrivals.per_cell is not None)


def _slab_by_slab(direction: Direction, arrivals: Arrivals, rules: Rules) -> Passed:
    """Without an account, backward in time, a few steps at once: what they need then stays in the cache."""
    entering = per_cell(arrivals, direction.last_cell, None, rules.eps)
    relevance = torch.empty_like(direction.inputs)
    rho = torch.zeros_like(direction.last_cell)
    for steps, gates in direction.gates_of_slabs():
        (row,), _ = rows_and_shares(direction, gates, None, rules, steps)
        of_written, gates.scratch[-1] = gates.scratch[1:], rho
        scan(gates.f, entering, out=gates.scratch, start=steps.start)
        s = _divide(of_written.mul_(gates.written), stabilize(row.z, rules.eps))
        torch.mul(s @ row.weights.W, direction.inputs[steps], out=relevance[steps])
        rho = gates.scratch[0].clone()
    return Passed(relevance, None, (torch.zeros_like(rho), rho * direction.initial[1]))


def _divide(product: Tensor, stable: Tensor) -> Tensor:
    """The quotient, in the room of the denominator."""
    return torch.div(product, stable, out=stable)


def per_cell(arrivals: Arrivals, c: Tensor, shares: Shares | None, eps: float) -> Arrivals:
    """What enters, for each unit of the cell states `c` that it enters."""
    if arrivals.per_cell is not None:
        # Known without a division, so on the accumulator nothing later counts, not even by rounding.
        return arrivals.replace(arrivals.per_cell)
    divisor = c.masked_fill(c == 0.0, torch.inf) if arrivals.proportional else stabilize(c, eps)
    relevance = arrivals.relevance
    if shares is not None and not arrivals.at_cell:
        relevance = relevance * arrivals.select(shares.cell)
    return arrivals.replace(relevance / divisor)


def _of_output_gate(arrivals: Arrivals, shares: Shares) -> Tensor:
    """Relevance of the output gate, `[T, B, H]`."""
    relevance = torch.zeros_like(shares.o)
    if not arrivals.at_cell:
        taken = arrivals.replace(arrivals.relevance * arrivals.select(shares.o))
        for t, row in enumerate(relevance.unbind(0)):
            taken.add_(t, row)
    return relevance


def scan(f: Tensor, entering: Arrivals, out: Tensor, start: int = 0) -> None:
    """`rho_t = f_{t+1} rho_{t+1} + entering_t`, `[T + 1, B, H]`, in place; row 0 is that of the state before.

    Args:
        f: forget gates, `[T, B, H]`.
        entering: for each unit of the states.
        out: its last row holds what comes from the steps after.
        start: step that the first row of `f` belongs to.
    """
    rows, gates = out.unbind(0), f.unbind(0)
    for t in range(len(f) - 1, -1, -1):
        entering.add_(start + t, rows[t + 1])
        torch.mul(rows[t + 1], gates[t], out=rows[t])


def _account(s: list[Tensor], products: list[Tensor], rows: list[Row], lost: Tensor, eps: float) -> Account:
    biases = torch.stack([part @ row.weights.b for part, row in zip(s, rows, strict=True)])
    stabilizer = torch.stack([(part * sign(row.z)).sum(2) * eps for part, row in zip(s, rows, strict=True)])
    return Account(
        steps=(biases + stabilizer).sum(0),
        cell_input_bias=biases[0].sum(0),
        gate_bias=biases[1:].sum((0, 1)),
        stabilizer=stabilizer.sum((0, 1)) + lost,
        through_gates=sum((part.sum((0, 2)) for part in products[1:]), start=torch.zeros_like(lost)),
    )
