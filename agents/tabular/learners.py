"""Tabular learning rules for agents in lockstep: they differ in the targets of their updates alone.

All learn from finished episodes and know the time, so that an episode visits no state twice and the forward view of
the lambda-return is exact (Sutton & Barto 2018, chapter 12).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from agents.tabular.lockstep import Rollout
from envs.finite import Floats

Shape = tuple[int, int, int]
"""Steps, states and actions of a table."""


class Learner(ABC):
    """Tables `[G, T, S, A]` of G agents, moved towards targets after each episode.

    Args:
        shape: steps, states and actions.
        seeds: one an agent; they break the ties among the initial values.
        learning_rate: share of the error that an update takes back.
        lambda_: how far rewards reach back; unused by rules without traces.
        initial: value of everything; a high one lets everything be tried.
    """

    def __init__(
        self, shape: Shape, seeds: list[int], learning_rate: float = 0.1, lambda_: float = 0.9, initial: float = 0.0
    ) -> None:
        self.learning_rate = learning_rate
        self.lambda_ = lambda_
        self.values = np.stack([initial + 1e-6 * np.random.default_rng([seed, 1]).random(shape) for seed in seeds])

    def learn(self, rollout: Rollout) -> None:
        """Learn from one episode of each agent."""
        self._move(self.values, rollout, self.targets(rollout))

    @abstractmethod
    def targets(self, rollout: Rollout) -> Floats:
        """What the value of each step's action is moved towards, `[G, T]`."""

    def _move(self, table: Floats, rollout: Rollout, targets: Floats) -> None:
        agents, steps = np.nonzero(np.arange(targets.shape[1]) < rollout.lengths[:, None])
        at = agents, steps, rollout.states[agents, steps], rollout.actions[agents, steps]
        table[at] += self.learning_rate * (targets[agents, steps] - table[at])

    def _next(self, rollout: Rollout) -> Floats:
        """The tables' rows after each step, `[G, T, A]`, zero after the last one."""
        agents, steps = np.arange(len(self.values))[:, None], np.arange(1, rollout.actions.shape[1])
        rows = self.values[agents, steps, rollout.states[:, 1:-1]]
        rows[steps >= rollout.lengths[:, None]] = 0.0
        return np.concatenate([rows, np.zeros_like(rows[:, :1])], axis=1)


def returns_to_go(rewards: Floats) -> Floats:
    """Undiscounted sum of the rewards from each step on, along the last axis."""
    return rewards[..., ::-1].cumsum(axis=-1)[..., ::-1]


def lambda_returns(rewards: Floats, following: Floats, lambdas: Floats) -> Floats:
    """`G_t = r_t + (1 - l_t) v_t + l_t G_{t+1}` with v_t the value that follows step t; all `[G, T]`."""
    targets = np.empty_like(rewards)
    after = np.zeros(len(rewards))
    for t in reversed(range(rewards.shape[1])):
        after = rewards[:, t] + (1.0 - lambdas[:, t]) * following[:, t] + lambdas[:, t] * after
        targets[:, t] = after
    return targets


class MonteCarlo(Learner):
    """The return that followed."""

    def targets(self, rollout: Rollout) -> Floats:
        """See `Learner.targets`."""
        return returns_to_go(rollout.rewards)


class LateMonteCarlo(Learner):
    """What the step paid, and the payment of the last step, for every step.

    No rival but a control: it knows, as the arms with credit do, that only the last payment comes late, and has no
    other credit.
    """

    def targets(self, rollout: Rollout) -> Floats:
        """See `Learner.targets`."""
        late = rollout.rewards[np.arange(len(rollout.lengths)), rollout.lengths - 1]
        targets = rollout.rewards + late[:, None]
        targets[np.arange(len(late)), rollout.lengths - 1] = late
        return targets


class QLambda(Learner):
    """Watkins's Q(lambda): the trace is cut before an action that is not greedy; lambda = 0 is Q-learning."""

    def targets(self, rollout: Rollout) -> Floats:
        """See `Learner.targets`."""
        goes_on = np.concatenate([rollout.greedy[:, 1:], np.zeros((len(self.values), 1), dtype=bool)], axis=1)
        return lambda_returns(rollout.rewards, self._next(rollout).max(axis=2), self.lambda_ * goes_on)


class SarsaLambda(Learner):
    """SARSA(lambda): values of the policy that is followed, exploration included."""

    def targets(self, rollout: Rollout) -> Floats:
        """See `Learner.targets`."""
        return self._sarsa(rollout, rollout.rewards)

    def _sarsa(self, rollout: Rollout, rewards: Floats) -> Floats:
        taken = np.concatenate([rollout.actions[:, 1:], np.zeros_like(rollout.actions[:, :1])], axis=1)
        following = np.take_along_axis(self._next(rollout), taken[..., None], axis=2)[..., 0]
        return lambda_returns(rewards, following, np.full_like(rewards, self.lambda_))


class LookBack(SarsaLambda):
    """SARSA(lambda) with look-back advice (Wiewiora et al. 2003): `F_t = P(s_t, a_t) - P(s_{t-1}, a_{t-1})`.

    The potential P is a Monte Carlo estimate of the action values, learnt on the way.
    """

    def __init__(
        self, shape: Shape, seeds: list[int], learning_rate: float = 0.1, lambda_: float = 0.9, initial: float = 0.0
    ) -> None:
        super().__init__(shape, seeds, learning_rate, lambda_, initial)
        self._potential = np.zeros_like(self.values)

    def learn(self, rollout: Rollout) -> None:
        """See `Learner.learn`."""
        super().learn(rollout)
        self._move(self._potential, rollout, returns_to_go(rollout.rewards))

    def targets(self, rollout: Rollout) -> Floats:
        """See `Learner.targets`."""
        agents, steps = np.arange(len(self.values))[:, None], np.arange(rollout.actions.shape[1])
        potential = self._potential[agents, steps, rollout.states[:, :-1], rollout.actions]
        return self._sarsa(rollout, rollout.rewards + np.diff(potential, axis=1, prepend=0.0))


class DirectQ(Learner):
    """The reward of the very step, after redistribution (Arjona-Medina et al. 2019, section 3).

    After an optimal redistribution the expected future reward is zero, so the redistributed reward alone estimates
    the action value, up to a constant of the state.
    """

    def targets(self, rollout: Rollout) -> Floats:
        """See `Learner.targets`; the rollout's rewards are the redistributed ones."""
        return rollout.rewards
