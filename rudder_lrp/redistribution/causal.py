"""Causal credit for N environments that step together: what each step earns while the episodes still run."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rudder_lrp.episodes.episode import LARGEST_REWARD, Array, Observations, Transitions
from rudder_lrp.episodes.features import Features
from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.redistribution.base import Rewards
from rudder_lrp.redistribution.config import ON_POLICY, CreditConfig
from rudder_lrp.redistribution.stream import ContributionStream

logger = logging.getLogger(__name__)

_COUNTED = 8
"""Environments whose steps count towards the next round: with more of them side by side a policy does not change more
often, and the first episodes to end are the shortest."""


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
            reward is handed on until it ends. Bounds the memory to 2 * N * max_episode_steps * (F + 4) * 4 bytes.
    """

    def __init__(self, online: OnlinePredictor, n_envs: int, max_episode_steps: int = 10_000) -> None:
        self.online = online
        self.n_envs = n_envs
        self.max_episode_steps = max_episode_steps
        self.steps = 0
        """Vectorised steps so far; each is N environment steps."""
        self.finished: list[FinishedEpisode] = []
        """The episodes that the latest step ended."""
        self._stream = ContributionStream(online.predictor, n_envs)
        self._running = _RunningEpisodes(n_envs, len(online.predictor.features))
        self._open = np.ones(n_envs, dtype=bool)
        self._owed = np.zeros(n_envs)
        self._told_of_endless_episode = False
        self._training = True

    @classmethod
    @plain_torch()
    def for_spaces(
        cls,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        n_envs: int,
        config: CreditConfig = ON_POLICY,
        predictor: ReturnPredictor | None = None,
        seed: int = 0,
    ) -> CausalCredit:
        """Build all of it for environments with these spaces.

        Args:
            observation_space: of one environment.
            action_space: of one environment.
            n_envs: number N of environments.
            config: what predictor, lessons and training are like.
            predictor: in place of the one that the config describes.
            seed: of the predictor's weights and the choice of lessons.

        Raises:
            TypeError: if a space is not supported.
            ValueError: if `predictor` was made for other spaces, or the config's device is not there.
        """
        if predictor is None:
            predictor = ReturnPredictor.for_spaces(
                observation_space,
                action_space,
                encoding=config.encoding,
                structure=config.structure,
                hidden_size=config.hidden_size,
                members=config.members,
                clock=config.clock,
                seed=seed,
            )
        predictor.features.check_spaces(observation_space, action_space)
        predictor.move_(config.device.found())
        lessons = LessonBuffer(config.lesson_capacity, seed=seed)
        return cls(OnlinePredictor(predictor, lessons, config), n_envs, config.max_episode_steps)

    @property
    def training(self) -> bool:
        """Whether lessons are collected, the predictor is trained and rewards are redistributed.

        If not, as in an evaluation, the environment's own rewards are handed on and nothing else happens. Episodes that
        run when that ends are no lessons, and get their own reward until they are over.
        """
        return self._training

    @training.setter
    def training(self, on: bool) -> None:
        if on and not self._training:
            self._begin(np.ones(self.n_envs, dtype=bool))
            self._open[:] = False
        self._training = on

    def interrupts(self, where: NDArray[np.bool_] | None = None) -> bool:
        """Whether a restart would cut episodes that were handed other rewards than they were paid so far."""
        cut = np.abs(self._owed) > 1e-6 * (1.0 + np.abs(self._running.rewards).max())
        return bool((cut if where is None else cut & where).any())

    def restart(self, where: NDArray[np.bool_] | None = None) -> None:
        """Begin new episodes, everywhere or where the mask `[N]` says so; unfinished ones are dropped."""
        self.finished = []
        self._begin(np.ones(self.n_envs, dtype=bool) if where is None else where)

    @plain_torch()
    def step(
        self,
        observations: Observations,
        actions: Observations,
        rewards: Array,
        next_observations: Observations,
        last: NDArray[np.bool_],
        running: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Take in one step of all environments; return what the agent is given for it, `[N]`.

        Args:
            observations: before the step, `[N, ...]`.
            actions: `[N, ...]`, nested as the action space is.
            rewards: the environments' own, `[N]`.
            next_observations: after the step and before any reset, `[N, ...]`.
            last: mask `[N]` of the episodes that the step ended.
            running: mask `[N]` of the environments that did step; the others were being reset and are given nothing.

        Raises:
            ValueError: if a reward or a feature is not finite, naming the environment.
        """
        if running is None:
            running = np.ones(self.n_envs, dtype=bool)
        self._check_rewards(rewards)
        if not self._training:
            self.finished = []
            return np.where(running, rewards, 0.0).astype(np.float32)
        first = self._running.lengths == 0
        transitions = Transitions(observations, actions, rewards, next_observations, first, last & running)
        features = self.online.predictor.features.encode(transitions)
        self.steps += 1
        paid = np.where(transitions.last, 0.0, transitions.rewards)
        handed = self._settle(self._stream.step(features) + paid, transitions, running)
        self._running.append(np.flatnonzero(self._open & running), features, rewards, handed)
        self._close_overlong(transitions.last)
        self.finished = [self._finish(index) for index in np.flatnonzero(transitions.last & self._open).tolist()]
        self._begin(transitions.last | ~running)
        if self.online.train_if_due(self.steps * min(self.n_envs, _COUNTED)):
            self._stream.replay(self._running.features, self._running.lengths)
        return handed

    def _check_rewards(self, rewards: Array) -> None:
        sound = np.abs(rewards) < LARGEST_REWARD
        if not sound.all():
            index = int(np.argmin(sound))
            raise ValueError(
                f"environment {index} paid {rewards[index]} at step {self._running.lengths[index]} of its episode: "
                f"rewards must be finite and within {LARGEST_REWARD:g}; mend the environment or clip its reward"
            )

    def _settle(
        self, contributions: Rewards, transitions: Transitions, running: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        self._owed += np.where(running, transitions.rewards, 0.0)
        settled = transitions.last | (self._running.lengths + 1 >= self.max_episode_steps) | ~self._open | ~running
        # The agent sees float32: what rounding takes from one step, the last one gives back.
        mixed = self.online.mix(contributions, transitions.rewards)
        handed = np.where(settled, self._owed, mixed).astype(np.float32)
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

    def _begin(self, where: NDArray[np.bool_]) -> None:
        if where.any():
            self._running.lengths[where] = 0
            self._owed[where] = 0.0
            self._open = self._open | where
            self._stream.restart(where)


class HandsOutCredit:
    """Mixed with a wrapper that hands out causal credit, of one environment or of many."""

    credit: CausalCredit
    """What says how much each step earns."""

    @property
    def training(self) -> bool:
        """Whether rewards are redistributed and learnt from, as in VecNormalize; see `CausalCredit.training`."""
        return self.credit.training

    @training.setter
    def training(self, on: bool) -> None:
        self.credit.training = on
