"""Rollout buffers that redistribute whole episodes in hindsight, for PPO, A2C and TRPO.

The wrapper hands out causal rewards while an episode runs. An explanation of the finished episode can replace them
once the rollout is over and before advantages are computed. Replacing adds zero to the sum of an episode's rewards,
so the buffer receives *adjustments*: zero-sum corrections `[n_steps, n_envs]`, added to what it holds. The value that
Stable-Baselines3 bootstrapped at a time limit stays where it is, and an episode cut by a border of the rollout keeps
what it was handed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer

from rudder_lrp.sb3.episodic import EpisodicCredit


class RedistributedRolloutBuffer(RolloutBuffer):
    """A rollout buffer that replaces the rewards of whole episodes before computing advantages.

    Mixed with another rollout buffer, as below, it does the same for that one.

    Args:
        credit: connection to the wrapper, passed through `rollout_buffer_kwargs={"credit": ...}`.
        buffer_size, observation_space, arguments, options: as in Stable-Baselines3's `RolloutBuffer`.

    Raises:
        TypeError: if observations are dictionaries and this buffer stores arrays.
        ValueError: if the credit keeps the discounted return of another discount than the algorithm's.
    """

    takes_dictionaries: ClassVar[bool] = False

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        *arguments: Any,
        credit: EpisodicCredit,
        **options: Any,
    ) -> None:
        if isinstance(observation_space, spaces.Dict) and not self.takes_dictionaries:
            raise TypeError(
                f"{type(self).__name__} stores arrays, but the observations are {observation_space}; "
                "use the redistributed buffer with Dict in its name"
            )
        self.credit = credit
        super().__init__(buffer_size, observation_space, *arguments, **options)
        if credit.gamma not in (1.0, self.gamma):
            raise ValueError(
                f"the credit keeps the return discounted by {credit.gamma}, and the algorithm discounts by "
                f"{self.gamma}: give both the same gamma, or the credit none"
            )

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        """Replace the rewards of whole episodes, then compute returns and advantages as usual."""
        self.rewards += self.credit.adjustments(self.rewards)
        super().compute_returns_and_advantage(last_values, dones)


class RedistributedDictRolloutBuffer(RedistributedRolloutBuffer, DictRolloutBuffer):
    """The same for dictionaries of observations."""

    takes_dictionaries = True
