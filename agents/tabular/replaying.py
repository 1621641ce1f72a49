"""Rivals with the replay of agents with credit: the latest episodes are learnt from anew, as often and as many."""

from __future__ import annotations

from collections import deque

from agents.tabular.credits import CreditConfig
from agents.tabular.learners import LateMonteCarlo, Learner, MonteCarlo, Shape
from agents.tabular.lockstep import Rollout


class Replaying(Learner):
    """A learning rule, and after each round of an agent with credit the latest episodes once more, oldest first.

    The rounds and the number of episodes are those of `CreditConfig`; the first one comes as soon as such an agent
    could train at all.
    """

    def __init__(
        self, shape: Shape, seeds: list[int], learning_rate: float = 0.1, lambda_: float = 0.9, initial: float = 0.0
    ) -> None:
        super().__init__(shape, seeds, learning_rate, lambda_, initial)
        self._config = CreditConfig()
        self._latest: deque[Rollout] = deque(maxlen=self._config.relearnt)
        self._episodes = 0
        self._next_round = self._config.min_lessons

    def learn(self, rollout: Rollout) -> None:
        """See `Learner.learn`."""
        super().learn(rollout)
        self._latest.append(rollout)
        self._episodes += 1
        if self._episodes >= self._next_round:
            self._next_round = self._episodes + self._config.until_round(self._episodes)
            for earlier in self._latest:
                super().learn(earlier)


class ReplayedMonteCarlo(Replaying, MonteCarlo):
    """Monte Carlo with replay."""


class ReplayedLateMonteCarlo(Replaying, LateMonteCarlo):
    """The control with replay: all the help that an agent with credit has, but for the credit."""
