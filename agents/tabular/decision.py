"""Tabular agents: Monte Carlo, Q-learning, and RUDDER's direct Q estimation.

All share exploration, optimistic start and learning rate; they differ in the target of their update alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

State = Hashable
"""Whatever a table can be indexed with."""


class TabularAgent(ABC):
    """A table of action values, epsilon-greedy, updated after each episode.

    Args:
        n_actions: number of actions.
        learning_rate: share of the error that an update takes back.
        epsilon: share of random actions.
        optimistic_start: initial value of everything, so that all is tried.
        seed: of the exploration.
    """

    def __init__(
        self,
        n_actions: int,
        learning_rate: float = 0.1,
        epsilon: float = 0.1,
        optimistic_start: float = 10.0,
        seed: int = 0,
    ) -> None:
        self.n_actions = n_actions
        self.learning_rate = learning_rate
        self.epsilon = epsilon
        self.values: defaultdict[State, list[float]] = defaultdict(lambda: [optimistic_start] * n_actions)
        self._rng = np.random.default_rng(seed)

    def greedy(self, state: State) -> int:
        """The action with the highest value, the first of equals."""
        values = self.values[state]
        return values.index(max(values))

    def act(self, state: State) -> int:
        """Explore or be greedy."""
        if self._rng.random() < self.epsilon:
            return int(self._rng.integers(self.n_actions))
        return self.greedy(state)

    @abstractmethod
    def learn(self, states: Sequence[State], actions: Sequence[int], rewards: Sequence[float]) -> None:
        """Learn from a finished episode of T states, actions and rewards."""

    def _update(self, state: State, action: int, target: float) -> None:
        values = self.values[state]
        values[action] += self.learning_rate * (target - values[action])


class MonteCarlo(TabularAgent):
    """Moves values towards the undiscounted return that followed, at every visit."""

    def learn(self, states: Sequence[State], actions: Sequence[int], rewards: Sequence[float]) -> None:
        """See `TabularAgent.learn`."""
        following = 0.0
        for state, action, reward in zip(reversed(states), reversed(actions), reversed(rewards), strict=True):
            following += reward
            self._update(state, action, following)


class QLearning(TabularAgent):
    """Moves values towards the reward plus the best value of the next state (Watkins 1989), in order of time."""

    def learn(self, states: Sequence[State], actions: Sequence[int], rewards: Sequence[float]) -> None:
        """See `TabularAgent.learn`."""
        for t, (state, action, reward) in enumerate(zip(states, actions, rewards, strict=True)):
            following = max(self.values[states[t + 1]]) if t + 1 < len(states) else 0.0
            self._update(state, action, reward + following)


class DirectQ(TabularAgent):
    """Moves values towards the redistributed reward of the very step (Arjona-Medina et al. 2019, section 3).

    After an optimal redistribution the expected future reward is zero, so the redistributed reward alone estimates
    the action value, up to a constant of the state.
    """

    def learn(self, states: Sequence[State], actions: Sequence[int], rewards: Sequence[float]) -> None:
        """See `TabularAgent.learn`; `rewards` are the redistributed ones."""
        for state, action, reward in zip(states, actions, rewards, strict=True):
            self._update(state, action, reward)
