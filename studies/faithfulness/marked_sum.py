"""A sum over marked steps: a task on sequences of any length with known relevant steps.

Each step shows a value in [-1, 1], a mark and a distractor of the same kind as the value. Four steps, anywhere, are
marked; the answer is half the sum of their values. So step t deserves `value / 2` if it is marked and nothing if not.
Of the unmarked steps some, in each sequence another share, are silent: all zero. So zero is an honest replacement of a
step that is taken away, one that the networks have met in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rudder_lrp.lstm import Structure, constrain_, gate_rows

MARKED = 4


class Sums(NamedTuple):
    """Sequences of one length with their answers."""

    inputs: Tensor
    """`[B, T, 3]`."""
    deserved: Tensor
    """What each step contributes to the answer, `[B, T]`."""

    @property
    def answers(self) -> Tensor:
        """`[B]`."""
        return self.deserved.sum(1)


@dataclass(frozen=True)
class Recipe:
    """A network and how it learns."""

    structure: Structure
    forget_bias: float
    """At the start, on top of PyTorch's initialisation; the accumulator never forgets."""
    seed: int
    hidden: int = 8
    updates: int = 1500
    batch: int = 32
    shortest: int = 8
    longest: int = 250
    learning_rate: float = 1e-2


class Trained(NamedTuple):
    """A trained network."""

    lstm: nn.LSTM
    readout: nn.Linear
    structure: Structure

    @property
    def reads(self) -> str:
        """What the readout reads: the accumulator's cell state, else the hidden state."""
        return "cell" if self.structure is Structure.ACCUMULATOR else "hidden"

    def predict(self, inputs: Tensor) -> Tensor:
        """Answers `[B]` to inputs `[B, T, 3]`."""
        hidden, cell = self.lstm(inputs)[1]
        answers: Tensor = self.readout((cell if self.reads == "cell" else hidden)[0])[:, 0]
        return answers


def sample(count: int, length: int, generator: torch.Generator) -> Sums:
    """Draw sequences of one length."""
    values, distractors = 2.0 * torch.rand(2, count, length, generator=generator) - 1.0
    marked = torch.rand(count, length, generator=generator).topk(MARKED).indices
    marks = torch.zeros(count, length).scatter_(1, marked, 1.0)
    silent = torch.rand(count, length, generator=generator) < torch.rand(count, 1, generator=generator)
    heard = 1.0 - silent * (1.0 - marks)
    return Sums(torch.stack([values * heard, marks, distractors * heard], dim=2), values * marks / 2.0)


def train(recipe: Recipe) -> Trained:
    """Train one network on fresh sequences, each update of another length; the learning rate falls to zero."""
    torch.manual_seed(recipe.seed)
    lstm, readout = nn.LSTM(3, recipe.hidden, batch_first=True), nn.Linear(recipe.hidden, 1)
    with torch.no_grad():
        lstm.bias_ih_l0[gate_rows(recipe.hidden)[1]] += recipe.forget_bias
    constrain_(lstm, recipe.structure)
    trained = Trained(lstm, readout, recipe.structure)
    optimizer = torch.optim.Adam([*lstm.parameters(), *readout.parameters()], recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.updates)
    generator = torch.Generator().manual_seed(recipe.seed)
    ratio = recipe.longest / recipe.shortest
    for _ in range(recipe.updates):
        length = round(recipe.shortest * ratio ** torch.rand((), generator=generator).item())
        sums = sample(recipe.batch, length, generator)
        loss = (trained.predict(sums.inputs) - sums.answers).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(lstm.parameters(), 1.0)
        optimizer.step()
        constrain_(lstm, recipe.structure)
        schedule.step()
    return trained
