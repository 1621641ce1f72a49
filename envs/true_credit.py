"""The true credit of a policy's steps, where the rules of the environment say it.

The payment of an episode's last step can be foreseen before, as far as rules and policy allow. What a step changed in
that expectation is its true credit (Arjona-Medina et al. 2019, theorem 2): the payment moved to where it was earned.
What is expected is what an *observer* expects who has seen what the agent has seen, and no more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Policy = Callable[[Any], Floats]
"""From observations `[N, ...]` to the probabilities of A actions, `[N, A]`; without memory."""


class Foreseen(ABC):
    """What the last payment is expected to be, for one policy.

    Args of the implementations are the environment and the policy.
    """

    @abstractmethod
    def expected(self, situations: Sequence[Any]) -> Floats:
        """The expectation before each step of one episode, from its situations up to there, `[T]`."""

    def credit(self, situations: Sequence[Any], last_reward: float) -> Floats:
        """What each step changed in the expectation, `[T]`; the last one, from the expectation to the payment.

        What was expected before the first step is nobody's credit and left out.
        """
        return np.diff([*self.expected(situations), last_reward])


class KnowsCredit(Protocol):
    """An environment whose rules say what the last payment is expected to be."""

    @property
    def situation(self) -> Any:
        """All that decides what the last payment will be, and what was seen of it, before the next step."""

    def foresee(self, policy: Policy) -> Foreseen:
        """The expectation for a policy."""


class PlayedEpisode(NamedTuple):
    """An episode, and what is known of it."""

    observations: NDArray[Any]
    """`[T + 1, ...]`."""
    actions: NDArray[np.int64]
    """`[T]`."""
    rewards: Floats
    """`[T]`."""
    situations: list[Any]
    """Before every step, see `KnowsCredit.situation`."""
    decisive: NDArray[np.bool_]
    """Steps that deserve credit for what is paid late, `[T]`."""


def play(env: Any, policy: Policy, seed: int) -> PlayedEpisode:
    """Play one episode of an environment that knows its credit, from a seeded reset."""
    return play_side_by_side([env], policy, [seed])[0]


def play_side_by_side(environments: Sequence[Any], policy: Policy, seeds: Sequence[int]) -> list[PlayedEpisode]:
    """Play an episode in each of some environments that know their credit; the policy is asked for all of them at once.

    Each is the episode that it would be alone, as far as the policy does not round otherwise for many observations.
    """
    playing = [_Playing(env, seed) for env, seed in zip(environments, seeds, strict=True)]
    while running := [one for one in playing if not one.over]:
        chances = policy(np.stack([one.observations[-1] for one in running]))
        for one, of_actions in zip(running, chances, strict=True):
            one.step(of_actions)
    return [one.episode() for one in playing]


class _Playing:
    """An episode on its way."""

    def __init__(self, env: Any, seed: int) -> None:
        self.env = env
        self.over = False
        self.observations = [env.reset(seed=seed)[0]]
        self._rng = np.random.default_rng([seed, 1])  # not the environment's own draws once more
        self._actions: list[int] = []
        self._rewards: list[float] = []
        self._situations: list[Any] = []
        self._decisive: list[bool] = []

    def step(self, chances: Floats) -> None:
        self._situations.append(self.env.situation)
        self._actions.append(int(self._rng.choice(len(chances), p=chances)))
        observation, reward, terminated, truncated, info = self.env.step(self._actions[-1])
        self.over = terminated or truncated
        self.observations.append(observation)
        self._rewards.append(float(reward))
        self._decisive.append(info["decisive"])

    def episode(self) -> PlayedEpisode:
        return PlayedEpisode(
            np.stack(self.observations),
            np.array(self._actions),
            np.array(self._rewards),
            self._situations,
            np.array(self._decisive, dtype=bool),
        )
