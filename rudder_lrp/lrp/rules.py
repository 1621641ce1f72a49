"""The rules that LRP for LSTMs is made of (Arras et al. 2019, section 2).

- *Linear map* `z_j = sum_i x_i w_ij + b_j`: the epsilon rule, `R_i = sum_j x_i w_ij / stabilize(z_j) R_j`.
- *Sum* `c_t = f_t c_{t-1} + i_t g_t`: the linear rule with both terms as inputs of weight 1.
- *Elementwise nonlinearity*: relevance passes unchanged.
- *Gated product* `gate * signal`: LRP-all, the signal takes all and the gate nothing. Deep Taylor decomposition gives
  this rule when the root point lies at `signal = 0`, where the derivative by the gate vanishes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def stabilize(denominator: Tensor, eps: float) -> Tensor:
    """Push a denominator away from zero on its own side: `z + eps * sign(z)` with `sign(0) = +1`."""
    return denominator + eps * sign(denominator)


def sign(values: Tensor) -> Tensor:
    """The sign of each value, +1 for zero."""
    return torch.where(values >= 0, 1.0, -1.0).to(values.dtype)
