"""Relevance in closed form where no recurrent connection reaches the cell input.

Without that connection `c_T = sum_t (prod_{s>t} f_s) i_t g_t` holds whatever the gates do. LRP-all with eps -> 0
then needs no division and no step loop (Arras et al. 2019, sections 3 and 4): with `h_T = o_T tanh(c_T)` and a
linear readout `w`,

    R_t = sum_k w_k o_T tanh(c_T) / c_T (prod_{s>t} f_s) i_t g_t,        sum_t R_t = w . h_T

for a zero initial cell state. On the accumulator the readout reads `c_T` itself and `R_t = w . (i_t g_t)`, which is also
the difference of consecutive predictions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rudder_lrp.lstm import Trace


def last_valid(values: Tensor, lengths: Tensor) -> Tensor:
    """Pick step `lengths - 1` of each sequence: `[B, T, H]` and `[B]` to `[B, H]`."""
    return values[torch.arange(len(values), device=values.device), lengths - 1]


def kept_until_end(f: Tensor, lengths: Tensor) -> Tensor:
    """Share `prod_{s>t} f_s` of what step t wrote that the cell still holds at the last valid step, `[B, T, H]`."""
    steps = torch.arange(f.shape[1], device=f.device)
    open_padding = f.masked_fill((steps >= lengths[:, None])[..., None], 1.0)
    later = torch.cat([open_padding[:, 1:], torch.ones_like(f[:, :1])], dim=1)
    return later.flip(1).cumprod(1).flip(1)


def output_share(trace: Trace, lengths: Tensor) -> Tensor:
    """What one unit of the last cell state is worth in `h_T`: `o_T tanh(c_T) / c_T`, `[B, H]`."""
    c = last_valid(trace.c[:, 1:], lengths)
    slope = torch.where(c.abs() < 1e-6, 1.0 - c * c / 3.0, torch.tanh(c) / torch.where(c == 0, 1.0, c))
    return last_valid(trace.o, lengths) * slope


def valid_steps(lengths: Tensor, horizon: int) -> Tensor:
    """Mask `[B, horizon]`, true on the steps that belong to the sequence."""
    return torch.arange(horizon, device=lengths.device) < lengths[:, None]
