"""Many tabular agents side by side: one a seed, all at the same step, so that numpy does the work.

A table holds values `[G, T, S, A]`: agent, step, state, action. Each agent draws from its own generator, so it learns
the same alone or in company.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from envs.finite import FiniteModel, Floats, Indices


@dataclass(frozen=True)
class Exploration:
    """How an agent explores; the same for every credit."""

    epsilon: float = 0.2
    """Share of steps at which exploring begins, or 1 during the warm-up."""
    persistence: float = 0.0
    """Probability that an exploring action is held for one more step (Dabney et al. 2021, with geometric lengths)."""
    warm_up: int = 200
    """Episodes at the beginning that explore at every step."""


class Rollout(NamedTuple):
    """N episodes of one length or shorter; beyond its end an episode stands still and earns nothing."""

    states: Indices
    """Before each step, and the last one, `[N, T + 1]`."""
    actions: Indices
    """As the agent chose them, `[N, T]`."""
    taken: Indices
    """As the environment took them, `[N, T]`: another where one slipped."""
    greedy: np.ndarray
    """Whether the action was the table's best, `[N, T]`."""
    rewards: Floats
    """As the environment pays them, `[N, T]`."""
    lengths: Indices
    """`[N]`."""


class Draws:
    """All chance of the episodes of G agents, n each, drawn agent by agent."""

    def __init__(self, rngs: Sequence[np.random.Generator], n: int, steps: int) -> None:
        drawn = np.concatenate([rng.random((n, 7, steps)) for rng in rngs])
        self.begin, self.action, self.hold, self.now, self.late, self.slip, self.start = drawn.swapaxes(0, 1)

    def exploring(self, exploration: Exploration, epsilon: float, n_actions: int) -> Indices:
        """The exploring action at each step, -1 where the agent follows its table, `[N, T]`."""
        chosen = np.where(self.begin < epsilon, (self.action * n_actions).astype(np.int64), -1)
        if exploration.persistence:
            for t in range(1, chosen.shape[1]):
                held = (chosen[:, t - 1] >= 0) & (self.hold[:, t] < exploration.persistence)
                chosen[held, t] = chosen[held, t - 1]
        return chosen


def play(model: FiniteModel, values: Floats, draws: Draws, exploring: Indices) -> Rollout:
    """Play n episodes of each agent in lockstep.

    Args:
        model: the rules.
        values: the agents' tables, `[G, T, S, A]`.
        draws: of N = G n episodes.
        exploring: see `Draws.exploring`.
    """
    total, steps = exploring.shape
    owner = np.arange(total) * len(values) // total
    states = np.empty((total, steps + 1), np.int64)
    actions, taken = np.empty((2, total, steps), np.int64)
    greedy = np.empty((total, steps), dtype=bool)
    states[:, 0] = np.searchsorted(model.starts.cumsum(), draws.start[:, 0], side="right")
    for t in range(steps):
        best = values[owner, t, states[:, t]].argmax(axis=1)
        actions[:, t] = np.where(exploring[:, t] < 0, best, exploring[:, t])
        greedy[:, t] = actions[:, t] == best
        taken[:, t] = _slipped(model, actions[:, t], draws.slip[:, t])
        states[:, t + 1] = model.next_state[states[:, t], taken[:, t]]
    return Rollout(states, actions, taken, greedy, *_earn(model, states, taken, draws))


def _slipped(model: FiniteModel, actions: Indices, draw: Floats) -> Indices:
    if not model.slip:
        return actions
    return np.where(draw < model.slip, (draw / model.slip * model.shape[2]).astype(np.int64), actions)


def _earn(model: FiniteModel, states: Indices, taken: Indices, draws: Draws) -> tuple[Floats, Indices]:
    """Rewards as they are paid, `[N, T]`, and the lengths, `[N]`."""
    steps = np.arange(model.steps)
    ended = model.ends[states]
    lengths = np.where(ended.any(axis=1), ended.argmax(axis=1), model.steps)
    now, late = (
        mean[steps, states[:, :-1], taken] + deviation[steps, states[:, :-1], taken] * np.where(draw < 0.5, -1.0, 1.0)
        for (mean, deviation), draw in (
            (model.now.expand(model.shape), draws.now),
            (model.late.expand(model.shape), draws.late),
        )
    )
    running = steps < lengths[:, None]
    rewards = np.where(running, now, 0.0)
    rewards[np.arange(len(rewards)), lengths - 1] += (late * running).sum(axis=1)
    return rewards, lengths


def greedy_returns(model: FiniteModel, values: Floats) -> Floats:
    """Expected return of each table's greedy policy, `[G]`, exact but for slips, which are left out."""
    starts = np.flatnonzero(model.starts)
    agent = np.arange(len(values))[:, None]
    states, earned = np.tile(starts, (len(values), 1)), np.zeros((len(values), len(starts)))
    for t in range(model.steps):
        actions = values[agent, t, states].argmax(axis=2)
        earned += model.earned[t, states, actions]
        states = model.next_state[states, actions]
    return earned @ model.starts[starts]
