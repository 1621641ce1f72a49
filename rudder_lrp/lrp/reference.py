"""LRP through an LSTM, one sequence and one step at a time, as the equations read.

Slow and plain on purpose: the fast passes are tested against it, and it shares nothing with them but the rules.
One layer, one direction; stacks and two directions are chains of `attribute_layer`, see `attribute`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rudder_lrp.lrp.rules import Rules, sign, stabilize


class Maps(NamedTuple):
    """Weights of one layer and direction, `[4 H, F]`, `[4 H, H]` and `[4 H]`, the rows in the order i, f, g, o."""

    W: Tensor
    U: Tensor
    b: Tensor


def linear(a: Tensor, w: Tensor, b: Tensor, R: Tensor, rules: Rules) -> Tensor:
    """Relevance `[I]` of the inputs `a` of `z = w a + b`, given that of `z`, `[O]` (Arras et al. 2019, section 2)."""
    z = w @ a + b
    shares = w * a
    if rules.conserve:
        shares = shares + ((b + rules.eps * sign(z)) / len(a))[:, None]
    return (shares / stabilize(z, rules.eps)[:, None] * R[:, None]).sum(0)


def plus(first: Tensor, second: Tensor, R: Tensor, rules: Rules) -> tuple[Tensor, Tensor]:
    """Relevance of two terms of a sum: a linear map of all `2 H` of them with weights 0 and 1."""
    eye = torch.eye(len(first), dtype=first.dtype)
    R_terms = linear(torch.cat([first, second]), torch.cat([eye, eye], 1), torch.zeros_like(first), R, rules)
    R_first, R_second = R_terms.chunk(2)
    return R_first, R_second


def product(gate: Tensor, signal: Tensor, R: Tensor, rules: Rules) -> tuple[Tensor, Tensor]:
    """Relevance of gate and signal of a gated product, given their pre-activations."""
    of_gate, of_signal = rules.shares(gate, signal)
    return of_gate * R, of_signal * R


def attribute_layer(
    maps: Maps, x: Tensor, h_0: Tensor, c_0: Tensor, R_out: Tensor, rules: Rules, at_cell: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Relevance of `x` `[T, F]`, `h_0` and `c_0` `[H]`, given that which enters the hidden states, `[T, H]`.

    With `at_cell` it enters the cell states instead.
    """
    W, U, b = maps
    z, c, h = [], [c_0], [h_0]
    for x_t in x:
        z_i, z_f, z_g, z_o = (W @ x_t + U @ h[-1] + b).chunk(4)
        z.append((z_i, z_f, z_g, z_o))
        c.append(z_f.sigmoid() * c[-1] + z_i.sigmoid() * z_g.tanh())
        h.append(z_o.sigmoid() * c[-1].tanh())

    R_x = torch.zeros_like(x)
    R_h, R_c = torch.zeros_like(h_0), torch.zeros_like(c_0)
    for t in range(len(x) - 1, -1, -1):
        z_i, z_f, z_g, z_o = z[t]
        if not at_cell:
            R_h = R_h + R_out[t]
        R_o, R_cell = product(z_o, c[t + 1], R_h, rules)
        R_c = R_c + R_cell
        if at_cell:
            R_c = R_c + R_out[t]
        R_kept, R_written = plus(z_f.sigmoid() * c[t], z_i.sigmoid() * z_g.tanh(), R_c, rules)
        R_f, R_c = product(z_f, c[t], R_kept, rules)
        R_i, R_g = product(z_i, z_g, R_written, rules)
        R_h = torch.zeros_like(h_0)
        for at, R_z in enumerate((R_i, R_f, R_g, R_o)):
            w, u, b_z = W.chunk(4)[at], U.chunk(4)[at], b.chunk(4)[at]
            if at == 2:
                w, u, b_z = rules.linear(w), rules.linear(u), rules.linear(b_z)
            R_both = linear(torch.cat([x[t], h[t]]), torch.cat([w, u], 1), b_z, R_z, rules)
            R_x[t] += R_both[: x.shape[1]]
            R_h = R_h + R_both[x.shape[1] :]
    return R_x, R_h, R_c


def hidden_states(maps: Maps, x: Tensor, h_0: Tensor, c_0: Tensor) -> Tensor:
    """Hidden states after each step, `[T, H]`."""
    h, c, all_h = h_0, c_0, []
    for x_t in x:
        z_i, z_f, z_g, z_o = (maps.W @ x_t + maps.U @ h + maps.b).chunk(4)
        c = z_f.sigmoid() * c + z_i.sigmoid() * z_g.tanh()
        h = z_o.sigmoid() * c.tanh()
        all_h.append(h)
    return torch.stack(all_h)


def maps_of(lstm: nn.LSTM, layer: int, backward: bool) -> Maps:
    """Read the weights of one layer and direction."""
    end = f"_l{layer}" + ("_reverse" if backward else "")
    W, U = lstm.get_parameter("weight_ih" + end).detach(), lstm.get_parameter("weight_hh" + end).detach()
    b = torch.zeros_like(W[:, 0])
    if lstm.bias:
        b = (lstm.get_parameter("bias_ih" + end) + lstm.get_parameter("bias_hh" + end)).detach()
    return Maps(W, U, b)


def attribute(
    lstm: nn.LSTM, x: Tensor, R_out: Tensor, rules: Rules, state: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Relevance of a sequence `[T, F]` and of `h_0` and `c_0` `[layers * directions, H]` of any `nn.LSTM`.

    Args:
        lstm: what is explained.
        x: one sequence.
        R_out: relevance of the hidden states that the LSTM returns, `[T, D * H]`. The final state of the backward
            direction is its output at step 0.
        rules: how relevance is shared.
        state: initial states, `[layers * directions, H]` each; zero by default.
    """
    count = 2 if lstm.bidirectional else 1
    if state is None:
        zeros = x.new_zeros(lstm.num_layers * count, lstm.hidden_size)
        state = zeros, zeros
    seen = [x]
    for layer in range(lstm.num_layers):
        parts = []
        for d in range(count):
            at = layer * count + d
            turned = seen[-1].flip(0) if d else seen[-1]
            h = hidden_states(maps_of(lstm, layer, bool(d)), turned, state[0][at], state[1][at])
            parts.append(h.flip(0) if d else h)
        seen.append(torch.cat(parts, 1))
    R_h0, R_c0 = torch.zeros_like(state[0]), torch.zeros_like(state[1])
    for layer in range(lstm.num_layers - 1, -1, -1):
        R_in = torch.zeros_like(seen[layer])
        for d, R in enumerate(R_out.chunk(count, 1)):
            at = layer * count + d
            x_turned, R_turned = (seen[layer].flip(0), R.flip(0)) if d else (seen[layer], R)
            maps = maps_of(lstm, layer, bool(d))
            R_x, R_h0[at], R_c0[at] = attribute_layer(maps, x_turned, state[0][at], state[1][at], R_turned, rules)
            R_in += R_x.flip(0) if d else R_x
        R_out = R_in
    return R_out, R_h0, R_c0
