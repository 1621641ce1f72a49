"""The true credit of an episode, and the reward that an all-knowing redistribution would pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray


def optimal_redistribution(infos: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """What each step changed in the expected return, `[T]`, from the infos of an episode's steps.

    `r_t = E[G | steps up to t] - E[G | steps up to t - 1]`, the expectation before the first step counted as 0; where
    step and payment involve no chance this is `q(s_t, a_t) - q(s_{t-1}, a_{t-1})` of the optimal policy
    (Arjona-Medina et al. 2019, theorem 2). Sums to the return.

    Raises:
        ValueError: if the environment does not say what it expects.
    """
    if any("expected_return" not in info for info in infos):
        raise ValueError(
            "the infos lack 'expected_return': the optimal redistribution is known for the environments that put it "
            "there, those with rules in arrays, the coin and watch repair"
        )
    return np.diff([info["expected_return"] for info in infos], prepend=0.0)


class OptimalReward(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Pays the optimal redistribution in place of the environment's own reward: the oracle among the credits.

    The return of an episode stays the same. Gymnasium's time limit must not cut it off before its end.

    Args:
        env: one whose infos carry `expected_return`.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, expecting nothing."""
        self._expected = 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step, and pay what it changed."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        before, self._expected = self._expected, info["expected_return"]
        return observation, self._expected - before, terminated, truncated, {**info, "true_reward": float(reward)}
