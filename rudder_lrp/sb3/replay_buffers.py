"""Replay buffers that know whole episodes and keep their redistributed rewards up to date, for off-policy algorithms.

A transition enters with the causal reward that the wrapper handed out. Once its episode is over, the buffer knows
which rows belong together; when one of them is sampled and the episode's rewards come from an older predictor, the
episode is redistributed anew, and all of its rows get the new rewards. So rewards are never stale, and episodes that
are not sampled cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.redistribution.causal import FinishedEpisode
from rudder_lrp.sb3.credited_buffer import CreditedBuffer
from rudder_lrp.sb3.episodic import EpisodicCredit

_NONE, _STALE = -1, -1


@dataclass
class _StoredEpisode:
    lesson: Lesson
    rows: NDArray[np.int64]
    env_index: int
    version: int = _STALE


class RedistributedReplayBuffer(CreditedBuffer, ReplayBuffer):
    """A replay buffer that redistributes the rewards of finished episodes by the latest predictor.

    It keeps the features of every stored transition, `buffer_size * F * 4` bytes beside the observations. An episode
    that is running, or longer than the buffer, keeps the causal rewards it was handed.

    Args:
        credit: connection to the wrapper, passed through `replay_buffer_kwargs={"credit": ...}`.
        buffer_size, observation_space, arguments, options: as in Stable-Baselines3's `ReplayBuffer`.

    Raises:
        TypeError: if observations are dictionaries and this buffer stores arrays.
    """

    def _connect(self, credit: EpisodicCredit) -> None:
        credit.expect_replay()
        self._credit = credit
        self._stored: dict[int, _StoredEpisode] = {}
        self._episode = np.full((self.buffer_size, self.n_envs), _NONE, dtype=np.int64)
        self._next_key = 0
        self._rows_of_running = np.zeros(self.n_envs, dtype=np.int64)
        self._resets = 0

    @property
    def credit(self) -> EpisodicCredit:
        """The connection to the wrapper; setting it redistributes all episodes anew when they are sampled."""
        return self._credit

    @credit.setter
    def credit(self, credit: EpisodicCredit) -> None:
        self._credit = credit
        for episode in self._stored.values():
            episode.version = _STALE

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: Sequence[Any]) -> None:
        """Store a step of all environments, and which episodes it ended."""
        self.credit.check_stepped(1)
        if self.credit.resets != self._resets:  # a new call of `learn` began new episodes
            self._resets = self.credit.resets
            self._rows_of_running[:] = 0
        self._forget(self.pos)
        super().add(obs, next_obs, action, reward, done, list(infos))
        self._rows_of_running += 1
        for episode in self.credit.take_finished():
            # Steps that a callback kept from the buffer would shift the rows: such an episode keeps what it has.
            complete = self._rows_of_running[episode.env_index] == len(episode.lesson)
            if complete and episode.end == self.credit.vec_steps and len(episode.lesson) <= self.buffer_size:
                self._keep(episode)
        self._rows_of_running[np.asarray(done, dtype=bool)] = 0
        self.credit.learn(self.n_envs)

    def bring_up_to_date(self, rows: NDArray[np.int64]) -> None:
        """Redistribute, by the latest predictor, the finished episodes that rows `[N]` are of, in all environments."""
        self._relabel(np.unique(self._episode[rows]))

    def _forget(self, row: int) -> None:
        for key in self._episode[row]:
            if key != _NONE and self._stored[key].rows[-1] == row:
                del self._stored[key]
        self._episode[row] = _NONE

    def _keep(self, episode: FinishedEpisode) -> None:
        steps = len(episode.lesson)
        rows = (self.pos - steps + np.arange(steps)) % self.buffer_size
        self._episode[rows, episode.env_index] = self._next_key
        self._stored[self._next_key] = _StoredEpisode(episode.lesson, rows, episode.env_index)
        self._next_key += 1

    def _get_samples(self, batch_inds: NDArray[np.int64], env: VecNormalize | None = None) -> Any:
        # The environments of the samples are drawn below this method, so those of all are brought up to date.
        self.bring_up_to_date(self._rows_read(batch_inds))
        return super()._get_samples(batch_inds, env)

    def _rows_read(self, batch_inds: NDArray[np.int64]) -> NDArray[np.int64]:
        return batch_inds

    def _relabel(self, keys: NDArray[np.int64]) -> None:
        version = self.credit.version
        stale = [int(key) for key in keys if key != _NONE and self._stored[int(key)].version != version]
        stale.sort(key=lambda key: len(self._stored[key].lesson))  # they are redistributed in batches: little padding
        rewards = self.credit.rewards([self._stored[key].lesson for key in stale])
        for key, new in zip(stale, rewards, strict=True):
            episode = self._stored[key]
            here = self._episode[episode.rows, episode.env_index] == key  # its first rows may be overwritten
            self.rewards[episode.rows[here], episode.env_index] = new[here]
            episode.version = version


class RedistributedDictReplayBuffer(RedistributedReplayBuffer, DictReplayBuffer):
    """The same for dictionaries of observations."""

    takes_dictionaries = True


class RedistributedNStepReplayBuffer(RedistributedReplayBuffer, NStepReplayBuffer):
    """The same for n-step returns; `n_steps` and `gamma` as in Stable-Baselines3's `NStepReplayBuffer`."""

    def _rows_read(self, batch_inds: NDArray[np.int64]) -> NDArray[np.int64]:
        return (batch_inds[:, None] + np.arange(self.n_steps)).ravel() % self.buffer_size
