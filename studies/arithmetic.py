"""Addition and subtraction by a one-cell LSTM, after Arras et al. 2019 (arXiv 1904.11829): who earned the answer?

A sequence holds 4 to 10 numbers, each in the first feature. Two of them are marked, `a` by repeating it in the second
feature and the later `b` in the third; the answer is `n_a + n_b` or `n_a - n_b`. A faithful explanation gives step `a`
the relevance `n_a`, step `b` the relevance `n_b` or `-n_b`, and nothing to the rest.

All networks of a task train in one computation: their weights are stacked, their losses added. No term of the sum
holds the weights of two networks and Adam works weight by weight, so each one trains as it would alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

SHORTEST, LONGEST = 4, 10


class Problems(NamedTuple):
    """Sequences with their answers; a leading dimension of networks may come first."""

    inputs: Tensor
    """`[..., B, T, 3]`, zero after the end."""
    lengths: Tensor
    """`[..., B]`."""
    positions: Tensor
    """Steps of a and b, `[..., B, 2]`."""
    numbers: Tensor
    """n_a and n_b, `[..., B, 2]`."""
    answers: Tensor
    """`[..., B]`."""


class Weights(NamedTuple):
    """One-cell LSTMs with linear readouts, stacked over networks S; gates in PyTorch's order i, f, g, o."""

    W: Tensor
    """`[S, 4, 3]`."""
    U: Tensor
    """`[S, 4]`."""
    b: Tensor
    """`[S, 4]`."""
    w: Tensor
    """`[S]`."""


@dataclass(frozen=True)
class Training:
    """How the networks learn."""

    batch: int = 64
    """Fresh problems an update, for each network its own."""
    learning_rate: float = 1e-2
    updates: int = 12_000
    """At most."""
    tolerance: float = 1e-4
    """Mean squared error on held-out problems at which a network is done."""
    check_every: int = 100


def sample(shape: tuple[int, ...], sign: int, generator: torch.Generator) -> Problems:
    """Draw problems; the numbers lie in [-1, -0.5] and [0.5, 1]."""
    lengths = torch.randint(SHORTEST, LONGEST + 1, shape, generator=generator)
    magnitude = 0.5 + 0.5 * torch.rand(*shape, LONGEST, generator=generator)
    values = magnitude * (2.0 * torch.randint(2, magnitude.shape, generator=generator) - 1.0)
    valid = torch.arange(LONGEST) < lengths[..., None]
    order = torch.rand(*shape, LONGEST, generator=generator).masked_fill(~valid, -1.0)
    positions = order.topk(2).indices.sort().values
    numbers = values.gather(-1, positions)
    inputs = torch.zeros(*shape, LONGEST, 3)
    inputs[..., 0] = values * valid
    for mark in (0, 1):
        inputs[..., 1 + mark].scatter_(-1, positions[..., [mark]], numbers[..., [mark]])
    return Problems(inputs, lengths, positions, numbers, numbers[..., 0] + sign * numbers[..., 1])


def initial_weights(seeds: range) -> Weights:
    """PyTorch's own initialisation, one network a seed."""
    networks = []
    for seed in seeds:
        torch.manual_seed(seed)
        lstm, readout = nn.LSTM(3, 1), nn.Linear(1, 1, bias=False)
        b = lstm.bias_ih_l0 + lstm.bias_hh_l0
        networks.append((lstm.weight_ih_l0, lstm.weight_hh_l0[:, 0], b, readout.weight[0, 0]))
    return Weights(*(torch.stack(parts).detach() for parts in zip(*networks, strict=True)))


def network(weights: Weights, index: int) -> tuple[nn.LSTM, nn.Linear]:
    """One of the stacked networks as ordinary modules in float64."""
    lstm, readout = nn.LSTM(3, 1, batch_first=True).double(), nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(weights.W[index])
        lstm.weight_hh_l0.copy_(weights.U[index, :, None])
        lstm.bias_ih_l0.copy_(weights.b[index])
        lstm.bias_hh_l0.zero_()
        readout.weight.copy_(weights.w[index])
    return lstm, readout


def predict(weights: Weights, problems: Problems) -> Tensor:
    """Answers `[S, B]` of the stacked networks to problems `[S, B, T, 3]`."""
    z = torch.einsum("sbtf,sgf->tsbg", problems.inputs, weights.W) + weights.b[:, None]
    h = c = z.new_zeros(z.shape[1:3])
    states = []
    for z_t in z:
        i, f, g, o = (z_t + h[..., None] * weights.U[:, None]).unbind(-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    last = torch.stack(states, -1).gather(-1, problems.lengths[..., None] - 1)[..., 0]
    return weights.w[:, None] * last
