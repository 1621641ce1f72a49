"""Addition and subtraction by one-cell LSTMs, after Arras et al. 2019 (arXiv 1904.11829).

A sequence holds 4 to 10 numbers, each in the first feature. Two of them are marked, `a` by repeating it in the second
feature and the later `b` in the third; the answer is `n_a + n_b` or `n_a - n_b`. A faithful explanation gives step `a`
the relevance `n_a`, step `b` the relevance `n_b` or `-n_b`, and nothing to the rest.

All networks of a task train in one computation, their parameters stacked: Levenberg-Marquardt from PyTorch's own
initialisation, every network with its own problems and its own damping, so that each trains as it would alone. (The
gates have to saturate, for which gradient descent takes tens of thousands of updates.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import jacfwd, vmap

SHORTEST, LONGEST = 4, 10
FEATURES, GATES = 3, 4
_SIZES = (GATES * FEATURES, GATES, GATES, 1)


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

    def at(self, index: Tensor | slice) -> Problems:
        """Those at an index of the first dimension."""
        return Problems(*(part[index] for part in self))


@dataclass(frozen=True)
class Training:
    """How the networks learn."""

    problems: int = 250
    """Of each network."""
    iterations: int = 120
    """At most."""
    tolerance: float = 1e-4
    """Mean squared error on held-out problems at which a network is done."""


def sample(shape: tuple[int, ...], sign: int, generator: torch.Generator) -> Problems:
    """Draw problems in float64; the numbers lie in [-1, -0.5] and [0.5, 1]."""
    lengths = torch.randint(SHORTEST, LONGEST + 1, shape, generator=generator)
    magnitude = 0.5 + 0.5 * torch.rand(*shape, LONGEST, generator=generator, dtype=torch.float64)
    values = magnitude * (2.0 * torch.randint(2, magnitude.shape, generator=generator) - 1.0)
    valid = torch.arange(LONGEST) < lengths[..., None]
    order = torch.rand(*shape, LONGEST, generator=generator).masked_fill(~valid, -1.0)
    positions = order.topk(2).indices.sort().values
    numbers = values.gather(-1, positions)
    inputs = torch.zeros(*shape, LONGEST, FEATURES, dtype=torch.float64)
    inputs[..., 0] = values * valid
    for mark in (0, 1):
        inputs[..., 1 + mark].scatter_(-1, positions[..., [mark]], numbers[..., [mark]])
    return Problems(inputs, lengths, positions, numbers, numbers[..., 0] + sign * numbers[..., 1])


def initial_parameters(seeds: range) -> Tensor:
    """PyTorch's own initialisation, one network a seed, `[S, 21]`."""
    networks = []
    for seed in seeds:
        torch.manual_seed(seed)
        lstm, readout = nn.LSTM(FEATURES, 1), nn.Linear(1, 1, bias=False)
        parts = (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0, readout.weight)
        networks.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(networks).detach().double()


def network(parameters: Tensor) -> tuple[nn.LSTM, nn.Linear]:
    """One network as ordinary modules, from its parameters `[21]`."""
    lstm, readout = nn.LSTM(FEATURES, 1, batch_first=True).double(), nn.Linear(1, 1, bias=False).double()
    W, U, b, w = parameters.split(_SIZES)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(W.view(GATES, FEATURES))
        lstm.weight_hh_l0.copy_(U[:, None])
        lstm.bias_ih_l0.copy_(b)
        lstm.bias_hh_l0.zero_()
        readout.weight.copy_(w[:, None])
    return lstm, readout


def predict(parameters: Tensor, inputs: Tensor, lengths: Tensor) -> Tensor:
    """Answers `[B]` of one network with parameters `[21]` to inputs `[B, T, 3]`."""
    W, U, b, w = parameters.split(_SIZES)
    preactivations = (inputs @ W.view(GATES, FEATURES).T + b).unbind(1)
    h = c = torch.zeros_like(inputs[:, 0, 0])
    states = []
    for z in preactivations:
        i, f, g, o = (z + h[:, None] * U).unbind(1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return w * torch.stack(states, 1).gather(1, lengths[:, None] - 1)[:, 0]


def train(sign: int, seeds: range, training: Training) -> tuple[Tensor, Tensor]:
    """Train one network a seed; each stops at the first iteration that meets the tolerance on held-out problems.

    Returns:
        Parameters `[S, 21]` and held-out mean squared errors `[S]`.
    """
    own, held_out = (_problems_of(seeds, sign, training.problems, stream) for stream in (1, 2))
    parameters = initial_parameters(seeds)
    damping = torch.ones(len(seeds), dtype=torch.float64)
    errors = _errors(parameters, held_out)
    for _ in range(training.iterations):
        left = (errors >= training.tolerance).nonzero()[:, 0]
        if len(left) == 0:
            break
        parameters[left], damping[left] = levenberg_marquardt(parameters[left], damping[left], own.at(left))
        errors[left] = _errors(parameters[left], held_out.at(left))
    return parameters, errors


def _problems_of(seeds: range, sign: int, count: int, stream: int) -> Problems:
    """Problems of each network, from its seed alone, `[S, B, ...]`."""
    drawn = [sample((count,), sign, torch.Generator().manual_seed(10 * seed + stream)) for seed in seeds]
    return Problems(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))


def levenberg_marquardt(parameters: Tensor, damping: Tensor, problems: Problems) -> tuple[Tensor, Tensor]:
    """One iteration of each network: a damped Gauss-Newton step, taken where it lowers the error."""
    residuals = vmap(predict)(parameters, problems.inputs, problems.lengths) - problems.answers
    J = vmap(jacfwd(predict))(parameters, problems.inputs, problems.lengths) / residuals.shape[1]
    curvature = J.mT @ J * residuals.shape[1]
    damped = curvature + damping[:, None, None] * torch.eye(J.shape[2], dtype=J.dtype)
    moved = parameters - torch.linalg.solve(damped, torch.einsum("snp,sn->sp", J, residuals))
    better = _errors(moved, problems) < residuals.square().mean(1)
    damping = torch.where(better, damping / 3.0, damping * 4.0).clamp(1e-10, 1e6)
    return torch.where(better[:, None], moved, parameters), damping


def _errors(parameters: Tensor, problems: Problems) -> Tensor:
    answers = vmap(predict)(parameters, problems.inputs, problems.lengths)
    return (answers - problems.answers).square().mean(1)
