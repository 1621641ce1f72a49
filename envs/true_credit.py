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
    rng = np.random.default_rng([seed, 1])  # not the environment's own draws once more
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards, situations, decisive, over = [observation], [], [], [], [], False
    while not over:
        situations.append(env.situation)
        chances = policy(observation[None])[0]
        actions.append(int(rng.choice(len(chances), p=chances)))
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        over = terminated or truncated
        observations.append(observation)
        rewards.append(float(reward))
        decisive.append(info["decisive"])
    return PlayedEpisode(
        np.stack(observations), np.array(actions), np.array(rewards), situations, np.array(decisive, dtype=bool)
    )
