"""LRP through a GRU, one sequence and one step at a time, as the equations read; see `docs/lrp.md`.

Slow and plain on purpose, as `rudder_lrp.lrp.reference` is for the LSTM. One layer, one direction.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rudder_lrp.lrp.reference import plus, product
from rudder_lrp.lrp.rules import Rules, stabilize


class Maps(NamedTuple):
    """Weights in the order r, z, n: `[3 H, F]`, `[3 H, H]`, `[3 H]` and `[3 H]`, as PyTorch keeps them."""

    W: Tensor
    U: Tensor
    b: Tensor
    b_recurrent: Tensor


class Step(NamedTuple):
    """What one step computed."""

    z_r: Tensor
    z_z: Tensor
    m: Tensor
    z_n: Tensor
    h: Tensor


def run(maps: Maps, x: Tensor, h_0: Tensor) -> list[Step]:
    """The forward run, `[T, F]` from `[H]`."""
    steps, h = [], h_0
    for x_t in x:
        a_r, a_z, a_n = (maps.W @ x_t + maps.b).chunk(3)
        u_r, u_z, m = (maps.U @ h + maps.b_recurrent).chunk(3)
        z_r, z_z = a_r + u_r, a_z + u_z
        z_n = a_n + z_r.sigmoid() * m
        h = (1.0 - z_z.sigmoid()) * z_n.tanh() + z_z.sigmoid() * h
        steps.append(Step(z_r, z_z, m, z_n, h))
    return steps


def attribute_layer(maps: Maps, x: Tensor, h_0: Tensor, R_out: Tensor, rules: Rules) -> tuple[Tensor, Tensor]:
    """Relevance of `x` `[T, F]` and of `h_0` `[H]`, given that which enters the hidden states, `[T, H]`."""
    steps = run(maps, x, h_0)
    hidden = len(h_0)
    R_x, R_h = torch.zeros_like(x), torch.zeros_like(h_0)
    for t in range(len(x) - 1, -1, -1):
        step, before = steps[t], steps[t - 1].h if t else h_0
        z, r = step.z_z.sigmoid(), step.z_r.sigmoid()
        R_written, R_kept = plus((1.0 - z) * step.z_n.tanh(), z * before, R_h + R_out[t], rules)
        R_closing, R_n = product(-step.z_z, step.z_n, R_written, rules)
        R_z, R_h = product(step.z_z, before, R_kept, rules)
        # The candidate's pre-activation: W x, b, and the gated product r * m of which m = U h + b' is the signal.
        per_unit = R_n / stabilize(step.z_n, rules.eps)
        R_x[t] += x[t] * (maps.W[2 * hidden :].T @ per_unit)
        R_r, _ = product(step.z_r, step.m, r * step.m * per_unit, rules)
        _, share = product(step.z_r, step.m, torch.ones_like(r), rules)
        R_h = R_h + before * (maps.U[2 * hidden :].T @ (share * r * per_unit))
        for at, R_gate, z_gate in ((0, R_r, step.z_r), (1, R_z + R_closing, step.z_z)):
            rows = slice(at * hidden, (at + 1) * hidden)
            per_unit = R_gate / stabilize(z_gate, rules.eps)
            R_x[t] += x[t] * (maps.W[rows].T @ per_unit)
            R_h = R_h + before * (maps.U[rows].T @ per_unit)
    return R_x, R_h
