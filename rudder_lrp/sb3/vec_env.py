"""Redistributed rewards for any Stable-Baselines3 algorithm: a wrapper around its vectorised environment."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from rudder_lrp.episodes import EpisodeRecorder
from rudder_lrp.features import Features
from rudder_lrp.lessons import Lesson, LessonBuffer
from rudder_lrp.predictor import ReturnPredictor
from rudder_lrp.redistribution.stream import ContributionStream
from rudder_lrp.training import NO_QUALITY, Quality, Trainer, TrainingConfig

logger = logging.getLogger(__name__)


class RedistributedRewardVecEnv(VecEnvWrapper):
    def __init__(
        self,
        venv: VecEnv,
        predictor: ReturnPredictor | None = None,
        *,
        structure: str = "markov",
        train_every: int = 2048,
        min_lessons: int = 32,
        trust_threshold: float = 0.2,
        training: TrainingConfig | None = None,
        lessons: LessonBuffer | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(venv)
        self.predictor = predictor or ReturnPredictor.for_spaces(
            venv.observation_space, venv.action_space, structure=structure, seed=seed
        )
        self.trainer = Trainer(self.predictor, training)
        self.lessons = lessons or LessonBuffer(seed=seed)
        self.train_every = train_every
        self.min_lessons = min_lessons
        self.trust_threshold = trust_threshold
        self.quality = NO_QUALITY
        self.q = 0.0
        self.steps = 0
        self._recorder = EpisodeRecorder(self.num_envs)
        self._stream = ContributionStream(self.predictor, self.num_envs)
        self._features: list[list[Features]] = [[] for _ in range(self.num_envs)]
        self._handed: list[list[float]] = [[] for _ in range(self.num_envs)]
        self._fresh = []
        self._next_training = train_every
        self.finished_log = []

    def reset(self) -> VecEnvObs:
        observations = self.venv.reset()
        self._recorder.start(observations)
        self._stream.restart(np.ones(self.num_envs, dtype=bool))
        for rows in (*self._features, *self._handed):
            rows.clear()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        transitions, finished = self._recorder.record(self._actions, observations, rewards, dones, infos)
        features = self.predictor.features.encode(*transitions)
        handed = self.q * self._stream.step(features) + (1.0 - self.q) * rewards
        self.steps += 1
        for index in range(self.num_envs):
            self._features[index].append(features[index])
            infos[index]["true_reward"] = float(rewards[index])
            if index in finished:
                handed[index] = finished[index].episode_return - sum(self._handed[index])
            self._handed[index].append(float(handed[index]))
        for index, episode in finished.items():
            lesson = Lesson(np.stack(self._features[index]), episode.rewards)
            self.lessons.add(lesson)
            self._fresh.append(lesson)
            self.finished_log.append((index, self.steps, lesson, np.array(self._handed[index])))
            self._features[index], self._handed[index] = [], []
        if dones.any():
            self._stream.restart(dones)
        if self.steps * self.num_envs >= self._next_training:
            self._next_training += self.train_every
            self._train()
        return observations, handed.astype(np.float32), dones, infos

    def _train(self) -> None:
        if len(self.lessons) < self.min_lessons or not self.lessons.returns_vary:
            return
        for lesson in self._fresh:
            self.predictor.normalizer.update(lesson.features)
        self._fresh.clear()
        self.quality = self.trainer.train(self.lessons)
        self.q = self.quality.q if self.quality.q >= self.trust_threshold else 0.0
        self._stream.replay(self._features)
