"""Any environment, made to pay late."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs


class DelayedReward(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Keeps back the reward and pays what has accumulated at the end of the episode, or every few steps.

    The return of an episode stays the same. The reward that the environment itself paid for a step is in
    `info["dense_reward"]`.

    Args:
        env: pays when it pays; its time limit belongs inside, as `gymnasium.make` puts it.
        every: number of steps between two payments; None pays at the last step alone.

    Raises:
        ValueError: if `every` is below 1, or the environment pays a reward that is not finite.
    """

    def __init__(self, env: gym.Env[Any, Any], every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ValueError(f"the delay must be at least 1 step, got {every}; leave it out to pay at the end")
        RecordConstructorArgs.__init__(self, every=every)
        super().__init__(env)
        self.every = every

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, owing nothing."""
        self._owed, self._steps = 0.0, 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step, and pay what is owed if it is time.

        Raises:
            ValueError: if the environment pays a reward that is not finite.
        """
        observation, earned, terminated, truncated, info = self.env.step(action)
        reward = float(earned)
        if not np.isfinite(reward):
            raise ValueError(
                f"step {self._steps} of the episode paid {reward}: rewards must be finite; mend the environment or "
                "clip its reward before delaying it"
            )
        self._owed += reward
        self._steps += 1
        due = terminated or truncated or (self.every is not None and self._steps % self.every == 0)
        paid = self._owed if due else 0.0
        self._owed -= paid
        return observation, paid, terminated, truncated, {**info, "dense_reward": reward}
