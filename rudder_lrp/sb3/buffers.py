"""Episodic credit for on-policy algorithms: a rollout buffer that redistributes whole episodes in hindsight.

The wrapper hands out causal rewards while an episode runs. An explanation of the finished episode can replace them
once the rollout is over and before advantages are computed. Replacing adds zero to the sum of an episode's rewards,
so the buffer receives *adjustments*: zero-sum corrections `[n_steps, n_envs]`, added to what it holds. The value that
Stable-Baselines3 bootstrapped at a time limit stays where it is, and an episode cut by a border of the rollout keeps
what it was handed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer

from rudder_lrp.redistribution.base import Redistributor
from rudder_lrp.sb3.vec_env import FinishedEpisode, RedistributedRewardVecEnv


class EpisodicCredit:
    """Connects a rollout buffer with the wrapper whose episodes it stores.

    Saved with a model it loses the connection, because neither environment nor predictor belong in the model's file;
    pass a new one to `load` through `rollout_buffer_kwargs`.

    Args:
        env: the wrapper the algorithm steps.
        redistributor: what to replace the handed-out rewards by.
    """

    def __init__(
        self, env: RedistributedRewardVecEnv | None = None, redistributor: Redistributor | None = None
    ) -> None:
        self._env = env
        self.redistributor = redistributor
        if env is not None:
            env.keep_finished_episodes()

    def __reduce__(self) -> tuple[type[EpisodicCredit], tuple[()]]:
        return EpisodicCredit, ()

    def adjustments(self, rewards: NDArray[np.float32]) -> NDArray[np.float32]:
        """Corrections `[n_steps, n_envs]` to the rewards of the rollout that has just ended; zero-sum an episode.

        Args:
            rewards: what the buffer holds, `[n_steps, n_envs]`; checked against what was handed out.

        Raises:
            RuntimeError: if not connected to an environment.
            ValueError: if the buffer holds other rewards than the wrapper handed out.
        """
        if self._env is None or self.redistributor is None:
            raise RuntimeError(
                "the rollout buffer lost its environment when the model was saved; load the model with "
                "rollout_buffer_kwargs={'credit': EpisodicCredit(env, redistributor)}"
            )
        corrections = np.zeros_like(rewards)
        whole = [e for e in self._env.take_finished_episodes() if self._start(e, len(rewards)) >= 0]
        if self._env.online.q == 0.0 or not whole:
            return corrections
        redistributed = self.redistributor.redistribute([episode.lesson for episode in whole])
        for episode, credit in zip(whole, redistributed, strict=True):
            start = self._start(episode, len(rewards))
            rows = slice(start, start + len(credit))
            _check_unchanged(rewards[rows, episode.env_index], episode.handed)
            mixture = self._env.online.mix(credit, episode.lesson.rewards)
            corrections[rows, episode.env_index] = mixture - episode.handed
        return corrections

    def _start(self, episode: FinishedEpisode, n_steps: int) -> int:
        assert self._env is not None
        return n_steps - (self._env.vec_steps - episode.end) - len(episode.lesson)


def _check_unchanged(held: NDArray[np.float32], handed: NDArray[np.float64]) -> None:
    # The last step is left out: it may hold a bootstrapped value.
    if not np.allclose(held[:-1], handed[:-1], rtol=1e-3, atol=1e-5):
        raise ValueError(
            "the rollout buffer holds other rewards than RedistributedRewardVecEnv handed out; make it the outermost "
            "wrapper that touches rewards: VecNormalize goes below it, or above it with norm_reward=False"
        )


class RedistributedRolloutBuffer(RolloutBuffer):
    """A rollout buffer for PPO and A2C that replaces the rewards of whole episodes before computing advantages.

    Args:
        credit: connection to the wrapper, passed through `rollout_buffer_kwargs={"credit": ...}`.
        buffer_size, observation_space, action_space, options: as in Stable-Baselines3's `RolloutBuffer`.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        credit: EpisodicCredit,
        **options: Any,
    ) -> None:
        self.credit = credit
        super().__init__(buffer_size, observation_space, action_space, **options)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        """Replace the rewards of whole episodes, then compute returns and advantages as usual."""
        self.rewards += self.credit.adjustments(self.rewards)
        super().compute_returns_and_advantage(last_values, dones)
