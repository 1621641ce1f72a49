"""A coin on a line, and a reward for standing on it that comes at the end."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Coin(gym.Env[NDArray[np.float32], int]):
    """The 1-D coin.

    Rules: 13 positions, 0 to 12, in a row; the agent starts at 7 and the coin lies at 9. Each of the 50 steps moves
    one to the left or to the right; at the ends the agent stays where it is.

    Observation: `Box(0, 1, (14,))`: the position as one-hot (13) and the share of the episode that is over (1).
    Action: `Discrete(2)`: 0 left, 1 right.
    Reward: at the last step, the number of steps after which the agent stood on the coin; else 0.
    Delay: up to 49 steps.
    Optimal return: 25: there after two steps, and back after every second one, since no move stays on the coin.
    Decisive steps: those that end on the coin.
    """

    positions, start, coin, steps = 13, 7, 9, 50
    optimal_return = 25.0

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (self.positions + 1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Go back to the start."""
        super().reset(seed=seed)
        self._position, self._step, self._on_coin = self.start, 0, 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move left (0) or right (1)."""
        self._position = min(max(self._position + 2 * int(action) - 1, 0), self.positions - 1)
        self._step += 1
        decisive = self._position == self.coin
        self._on_coin += decisive
        over = self._step == self.steps
        return self._observation(), float(self._on_coin) if over else 0.0, over, False, {"decisive": decisive}

    def _observation(self) -> NDArray[np.float32]:
        observation = np.zeros(self.positions + 1, dtype=np.float32)
        observation[self._position] = 1.0
        observation[-1] = self._step / self.steps
        return observation
