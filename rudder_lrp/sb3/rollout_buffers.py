"""Rollout buffers that redistribute whole episodes in hindsight, for PPO, A2C and TRPO.

The wrapper hands out causal rewards while an episode runs. An explanation of the finished episode can replace them
once the rollout is over and before advantages are computed. Replacing adds zero to the sum of an episode's rewards,
so the buffer receives *adjustments*: zero-sum corrections `[n_steps, n_envs]`, added to what it holds. The value that
Stable-Baselines3 bootstrapped at a time limit stays where it is, and an episode cut by a border of the rollout keeps
what it was handed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer

from rudder_lrp.sb3.credited_buffer import CreditedBuffer
from rudder_lrp.sb3.episodic import EpisodicCredit


class RedistributedRolloutBuffer(CreditedBuffer, RolloutBuffer):
    """A rollout buffer that replaces the rewards of whole episodes before computing advantages.

    Args:
        credit: connection to the wrapper, passed through `rollout_buffer_kwargs={"credit": ...}`.
        buffer_size, observation_space, arguments, options: as in Stable-Baselines3's `RolloutBuffer`.

    Raises:
        TypeError: if observations are dictionaries and this buffer stores arrays.
        ValueError: if the credit keeps the discounted return of another discount than the algorithm's.
    """

    def _connect(self, credit: EpisodicCredit) -> None:
        self.credit = credit
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
