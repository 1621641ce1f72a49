"""The rules that LRP for LSTMs is made of (Arras et al. 2019, section 2).

- *Linear map* `z_j = sum_i x_i w_ij + b_j`: `R_i = sum_j x_i w_ij / stabilize(z_j) R_j`, with the weights as they are
  (epsilon) or with the positive ones emphasised (gamma, z-plus).
- *Sum* `c_t = f_t c_{t-1} + i_t g_t`: the epsilon rule with both terms as inputs of weight 1.
- *Elementwise nonlinearity*: relevance passes unchanged.
- *Gated product* `gate * signal`: a *gate rule* says how much the gate and how much the signal take. A new rule is
  one function with the signature of `GateRule`.

Every denominator goes through `stabilize`, so none can vanish while eps > 0: where all contributions are zero, nothing
is passed on and the ledger lists the relevance under the stabilizer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

GateRule = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""From the pre-activations of gate and signal and eps to the shares that gate and signal take of the relevance.

All tensors have the same shape. The signal of the three products is the cell input (i * g), the cell state before the
step (f * c) and after it (o * tanh(c)); a cell state counts as its own pre-activation. What the shares leave of 1 is
listed under the stabilizer."""

LinearRule = Callable[[Tensor], Tensor]
"""From weights (or biases) to those that the relevance is shared by."""


class Rules(NamedTuple):
    """All that a pass needs to know besides the model."""

    gate: GateRule
    linear: LinearRule
    eps: float
    conserve: bool
    """Whether what biases and stabilizers absorb is spread evenly over what feeds the same map."""

    @property
    def pays_gates(self) -> bool:
        """Whether a gate may take relevance."""
        return self.gate is not signal_takes_all

    def shares(self, gate: Tensor, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of gate and signal in a gated product; they sum to 1 if relevance is to be conserved."""
        of_gate, of_signal = self.gate(gate, signal, self.eps)
        if self.conserve:
            missing = (1.0 - of_gate - of_signal) / 2.0
            of_gate, of_signal = of_gate + missing, of_signal + missing
        return of_gate, of_signal


def sign(values: Tensor) -> Tensor:
    """The sign of each value, +1 for zero."""
    return torch.copysign(values.new_ones(()), values)


def stabilize(denominator: Tensor, eps: float, out: Tensor | None = None) -> Tensor:
    """Push a denominator away from zero on its own side: `z + eps * sign(z)` with `sign(0) = +1`."""
    return torch.copysign(denominator.new_tensor(eps), denominator, out=out).add_(denominator)


def signal_takes_all(gate: Tensor, signal: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """LRP-all: the gate only scales, so it takes nothing; deep Taylor decomposition at the root `signal = 0`."""
    return torch.zeros_like(gate), torch.ones_like(signal)


def halves(gate: Tensor, signal: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """LRP-half: both take half, as the two factors of a bilinear term do by symmetry."""
    return torch.full_like(gate, 0.5), torch.full_like(signal, 0.5)


def proportional(gate: Tensor, signal: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """LRP-prop: in proportion to the pre-activations.

    Where they cancel, the stabilized sum is near eps and the shares are large and of opposite sign.
    """
    total = stabilize(gate + signal, eps)
    return gate / total, signal / total


def absolute(gate: Tensor, signal: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """LRP-abs: in proportion to the absolute pre-activations; both shares lie in [0, 1)."""
    total = gate.abs() + signal.abs() + eps
    return gate.abs() / total, signal.abs() / total


GATE_RULES: Mapping[str, GateRule] = MappingProxyType(
    {"all": signal_takes_all, "half": halves, "prop": proportional, "abs": absolute}
)


def epsilon(weight: Tensor) -> Tensor:
    """Share by the weights as they are."""
    return weight


def gamma(weight: Tensor, emphasis: float = 0.25) -> Tensor:
    """Share by `w + emphasis * max(w, 0)`; for non-negative inputs (Montavon et al. 2019)."""
    return weight + emphasis * weight.clamp(min=0.0)


def z_plus(weight: Tensor) -> Tensor:
    """Share by `max(w, 0)`: deep Taylor decomposition for non-negative inputs (Montavon et al. 2017)."""
    return weight.clamp(min=0.0)


LINEAR_RULES: Mapping[str, LinearRule] = MappingProxyType(
    {"epsilon": epsilon, "gamma": partial(gamma, emphasis=0.25), "z-plus": z_plus}
)
