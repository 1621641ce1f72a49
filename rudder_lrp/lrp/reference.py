"""LRP-all through an LSTM, one sequence and one step at a time, as the equations read.

Slow and plain on purpose: the fast pass in `rudder_lrp.lrp.propagation` is tested against it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rudder_lrp.lrp.rules import stabilize
from rudder_lrp.lstm import LayerWeights


def attribute_sequence(lstm: nn.LSTM, readout: nn.Linear, x: Tensor, target: int, eps: float) -> Tensor:
    """Relevance `[T, F]` of a sequence `[T, F]` for output `target` of a linear readout of the last hidden state.

    Starts from `R(y) = y`, follows Arras et al. 2019, section 2; biases and the stabilizer absorb their share.
    """
    hidden = lstm.hidden_size
    W, U, b = LayerWeights.of(lstm)
    W_g, U_g = W[2 * hidden : 3 * hidden], U[2 * hidden : 3 * hidden]
    h, c = [x.new_zeros(hidden)], [x.new_zeros(hidden)]
    i, f, g, z_g = [], [], [], []
    for x_t in x:
        z = W @ x_t + U @ h[-1] + b
        z_i, z_f, z_c, z_o = z.chunk(4)
        i.append(z_i.sigmoid())
        f.append(z_f.sigmoid())
        g.append(z_c.tanh())
        z_g.append(z_c)
        c.append(f[-1] * c[-1] + i[-1] * g[-1])
        h.append(z_o.sigmoid() * c[-1].tanh())

    w = readout.weight[target]
    y = w @ h[-1] + (readout.bias[target] if readout.bias is not None else 0.0)
    R_h = h[-1] * w / stabilize(y, eps) * y
    R_c = x.new_zeros(hidden)
    R_x = torch.zeros_like(x)
    for t in range(len(x) - 1, -1, -1):
        R_c = R_c + R_h  # the output gate takes nothing, tanh passes
        R_g = i[t] * g[t] / stabilize(c[t + 1], eps) * R_c
        R_c = f[t] * c[t] / stabilize(c[t + 1], eps) * R_c
        share = R_g / stabilize(z_g[t], eps)
        R_x[t] = x[t] * (W_g.T @ share)
        R_h = h[t] * (U_g.T @ share)
    return R_x
