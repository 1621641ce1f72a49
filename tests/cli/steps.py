"""Environments for tests of the command, registered when this module is imported."""

from __future__ import annotations

import os
import signal
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Steps(gym.Env[np.ndarray, int]):
    """Ten steps; pays at the end how often action 1 was taken; says whether that was most of the time."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "outcomes": {"most": "mostly one"}}
    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.taken, self.step_count = 0, 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.taken += int(action)
        self.step_count += 1
        over = self.step_count == 10
        reward = float(self.taken) if over else 0.0
        return self._observation(), reward, over, False, {"most": self.taken > 5, "other": True}

    def _observation(self) -> np.ndarray:
        return np.array([self.step_count / 10, self.taken / 10], dtype=np.float32)


class Dying(Steps):
    """The same, but the process is killed when an environment that was seeded with 1 is stepped."""

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        if seed is not None:
            self.seeded = seed
        return super().reset(seed=seed, options=options)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        if self.seeded == 1:
            print("the end of this one", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


class Nested(Steps):
    """Observations that Stable-Baselines3 does not take."""

    observation_space = spaces.Dict(part=spaces.Dict(whole=Steps.observation_space))


class FromOne(Steps):
    """Actions that Stable-Baselines3 does not count."""

    action_space = spaces.Discrete(2, start=1)


KINDS = {"Steps-v0": Steps, "Dying-v0": Dying, "Nested-v0": Nested, "FromOne-v0": FromOne}

for name, kind in KINDS.items():
    if name not in gym.registry:
        gym.register(name, kind, max_episode_steps=10)
