"""Causal credit for N environments that step together: what each step earns while the episodes still run."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rudder_lrp.episodes import Array, Transitions
from rudder_lrp.features import Features
from rudder_lrp.lessons import Lesson
from rudder_lrp.online import OnlinePredictor
from rudder_lrp.redistribution.base import Rewards
from rudder_lrp.redistribution.stream import ContributionStream

logger = logging.getLogger(__name__)


class FinishedEpisode(NamedTuple):
    """An episode that has ended, and what the agent was given for it."""

    env_index: int
    end: int
    """Number of vectorised steps when it was over."""
    lesson: Lesson
    handed: Rewards
    """The rewards the agent was given, `[T]`."""


class _RunningEpisodes:
    """Features and rewards of N episodes that have not ended; grows by doubling, up to the longest one there was."""

    def __init__(self, n_envs: int, n_features: int) -> None:
        self.features: Features = np.zeros((n_envs, 64, n_features), dtype=np.float32)
        self.rewards: Rewards = np.zeros((n_envs, 64))
        self.handed: Rewards = np.zeros((n_envs, 64))
        self.lengths = np.zeros(n_envs, dtype=np.int64)

    def append(self, where: Array, features: Features, rewards: Array, handed: Array) -> None:
        if (self.lengths[where] == self.rewards.shape[1]).any():
            self.features, self.rewards, self.handed = (
                np.concatenate([part, np.zeros_like(part)], axis=1)
                for part in (self.features, self.rewards, self.handed)
            )
        at = self.lengths[where]
        self.features[where, at] = features[where]
        self.rewards[where, at] = rewards[where]
        self.handed[where, at] = handed[where]
        self.lengths[where] += 1

    def cut(self, index: int) -> tuple[Lesson, Rewards]:
        rows = slice(0, int(self.lengths[index]))
        lesson = Lesson(self.features[index, rows].copy(), self.rewards[index, rows].copy())
        return lesson, self.handed[index, rows].copy()


class CausalCredit:
    """Collects lessons, trains the predictor now and then, and says what each step earns.

    While an episode runs, each step earns what it changed in the predicted return, mixed with the environment's own
    reward by the predictor's quality; its last step earns whatever is left of the true return. So the rewards of
    every episode sum to its true return, no matter how often the predictor or its quality change on the way.

    Args:
        online: the predictor, with its lessons and its trainer.
        n_envs: number N of environments.
        max_episode_steps: an episode longer than this is no lesson; it is settled there, and its environment's own
            reward is handed on until it ends. Bounds the memory: N * max_episode_steps * (F + 4) * 4 bytes.

    Raises:
        ValueError: if `max_episode_steps` is not positive.
    """

    def __init__(self, online: OnlinePredictor, n_envs: int, max_episode_steps: int = 10_000) -> None:
        if max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, got {max_episode_steps}")
        self.online = online
        self.n_envs = n_envs
        self.max_episode_steps = max_episode_steps
        self.steps = 0
        """Vectorised steps so far; each is N environment steps."""
        self.finished: list[FinishedEpisode] = []
        """The episodes that the latest step ended."""
        self._stream = ContributionStream(online.predictor, n_envs)
        self._told_of_endless_episode = False
        self.restart()

    def restart(self) -> None:
        """Begin new episodes everywhere; unfinished ones are dropped."""
        everywhere = np.ones(self.n_envs, dtype=bool)
        self._stream.restart(everywhere)
        self._running = _RunningEpisodes(self.n_envs, len(self.online.predictor.features))
        self._open = everywhere
        self._owed = np.zeros(self.n_envs)
        self.finished = []

    def step(self, transitions: Transitions) -> NDArray[np.float32]:
        """Take in one step of all environments; return what the agent is given for it, `[N]`.

        Raises:
            ValueError: if a reward or a feature is not finite, naming the environment.
        """
        self._check_rewards(transitions.rewards)
        features = self.online.predictor.features.encode(transitions)
        self.steps += 1
        handed = self._settle(self._stream.step(features), transitions)
        self._running.append(np.flatnonzero(self._open), features, transitions.rewards, handed)
        self._close_overlong(transitions.last)
        self.finished = [self._finish(index) for index in np.flatnonzero(transitions.last & self._open).tolist()]
        self._begin(transitions.last)
        if self.online.train_if_due(self.steps * self.n_envs):
            self._stream.replay(self._running.features, self._running.lengths)
        return handed

    def _check_rewards(self, rewards: Array) -> None:
        for index in np.flatnonzero(~np.isfinite(rewards)).tolist():
            raise ValueError(
                f"environment {index} paid {rewards[index]} at step {self._running.lengths[index]} of its episode: "
                "rewards must be finite; mend the environment or clip its reward"
            )

    def _settle(self, contributions: Rewards, transitions: Transitions) -> NDArray[np.float32]:
        rewards = transitions.rewards
        handed = self.online.mix(contributions, rewards)
        self._owed += rewards
        settled = transitions.last | (self._running.lengths + 1 >= self.max_episode_steps) | ~self._open
        # The agent sees float32: what rounding takes from one step, the last one gives back.
        handed = np.where(settled, self._owed, handed).astype(np.float32)
        self._owed -= handed
        return handed

    def _close_overlong(self, last: NDArray[np.bool_]) -> None:
        overlong = self._open & ~last & (self._running.lengths >= self.max_episode_steps)
        if overlong.any() and not self._told_of_endless_episode:
            self._told_of_endless_episode = True
            logger.warning(
                "environment %d did not end its episode within max_episode_steps=%d steps: it is no lesson, and its "
                "own reward is handed on until it ends; give it a time limit or raise max_episode_steps",
                int(np.flatnonzero(overlong)[0]),
                self.max_episode_steps,
            )
        self._open = self._open & ~overlong

    def _finish(self, index: int) -> FinishedEpisode:
        lesson, handed = self._running.cut(index)
        self.online.observe(lesson)
        return FinishedEpisode(index, self.steps, lesson, handed)

    def _begin(self, last: NDArray[np.bool_]) -> None:
        if last.any():
            self._running.lengths[last] = 0
            self._owed[last] = 0.0
            self._open = self._open | last
            self._stream.restart(last)
