"""Relevance in closed form where no recurrent connection reaches the cell input.

Without that connection `c_T = sum_t (prod_{s>t} f_s) i_t g_t` holds whatever the gates do. LRP-all with eps -> 0
then needs no division and no step loop (Arras et al. 2019, section 4): with `h_T = o_T tanh(c_T)` and a linear
readout `w`, cell k earns at step t

    R_tk = w_k o_Tk tanh(c_Tk) / c_Tk (prod_{s>t} f_sk) i_tk g_tk,        sum_tk R_tk = w . h_T

for a zero initial cell state. On the accumulator the readout reads `c_T` itself and `R_tk = w_k i_tk g_tk`, whose sum
over the cells is also the difference of consecutive predictions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rudder_lrp.lstm import Trace


def valid_steps(lengths: Tensor, horizon: int) -> Tensor:
    """Mask `[B, horizon]`, true on the steps that belong to the sequence."""
    return torch.arange(horizon, device=lengths.device) < lengths[:, None]


def last_valid(values: Tensor, lengths: Tensor) -> Tensor:
    """Pick step `lengths - 1` of each sequence: `[B, T, ...]` and `[B]` to `[B, ...]`."""
    return values[torch.arange(len(values), device=values.device), lengths - 1]


def kept_until_end(f: Tensor, lengths: Tensor) -> Tensor:
    """Share `prod_{s>t} f_s` of what step t wrote that the cell still holds at the last valid step, `[B, T, H]`."""
    padding = ~valid_steps(lengths, f.shape[1])
    later = torch.cat([f.masked_fill(padding[..., None], 1.0)[:, 1:], torch.ones_like(f[:, :1])], dim=1)
    return later.flip(1).cumprod(1).flip(1)


def output_share(trace: Trace, lengths: Tensor) -> Tensor:
    """What one unit of the last cell state is worth in `h_T`: `o_T tanh(c_T) / c_T`, `[B, H]`."""
    c = last_valid(trace.c[:, 1:], lengths)
    near_zero = c.abs() < 1e-4
    series = 1.0 - c.square() / 3.0  # exact to float precision where the quotient is not
    return last_valid(trace.o, lengths) * torch.where(near_zero, series, c.tanh() / c.masked_fill(near_zero, 1.0))


def hidden_readout_relevance(trace: Trace, weight: Tensor, lengths: Tensor) -> Tensor:
    """Relevance of what each cell wrote at each step for `weight . h_T`, `[B, T, H]`; needs a Markov structure."""
    written = trace.i * trace.g * valid_steps(lengths, trace.i.shape[1])[..., None]
    return (weight * output_share(trace, lengths))[:, None] * kept_until_end(trace.f, lengths) * written


def cell_readout_relevance(trace: Trace, weight: Tensor, lengths: Tensor) -> Tensor:
    """The same for `weight . c_T`, `[B, T, H]`; with the forget gate pinned open `weight * i_t * g_t`."""
    written = trace.i * trace.g * valid_steps(lengths, trace.i.shape[1])[..., None]
    return weight * kept_until_end(trace.f, lengths) * written
