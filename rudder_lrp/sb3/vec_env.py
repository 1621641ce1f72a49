"""Redistributed rewards for any Stable-Baselines3 algorithm: a wrapper around its vectorised environment."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from rudder_lrp.episodes import Episode, EpisodeRecorder
from rudder_lrp.features import Features
from rudder_lrp.lessons import Lesson, LessonBuffer
from rudder_lrp.online import OnlinePredictor
from rudder_lrp.predictor import ReturnPredictor
from rudder_lrp.redistribution.base import Rewards
from rudder_lrp.redistribution.stream import ContributionStream
from rudder_lrp.training import TrainingConfig


class FinishedEpisode(NamedTuple):
    """What the wrapper remembers of an episode until the rollout buffer has asked for it."""

    env_index: int
    end: int
    """Number of vectorised steps when it was over."""
    lesson: Lesson
    handed: Rewards
    """The rewards the agent was given, `[T]`."""


class RedistributedRewardVecEnv(VecEnvWrapper):
    """Collects lessons, trains its predictor now and then, and hands out redistributed rewards.

    While an episode runs, each step earns what it changed in the predicted return (on the accumulator structure
    that is its LRP relevance too); its last step earns whatever is left of the true return. The agent gets the
    mixture `q * redistributed + (1 - q) * original`, where q is the predictor's quality on held-out lessons: until
    it explains them, the environment's own reward. All of these sum to the true return of the episode.

    The true reward of each step stays in `info["true_reward"]`; a `Monitor` below the wrapper logs true returns.

    Args:
        venv: any Stable-Baselines3 `VecEnv`.
        predictor: its own by default, built for the spaces.
        structure: of the predictor built by default.
        training: one round of the predictor's training.
        lesson_capacity: how many episodes are kept to train on.
        train_every: environment steps between two rounds.
        min_lessons: no training before there are so many.
        trust_threshold: an explained variance below this one counts as no trust.
        seed: of the predictor's weights and the choice of lessons.

    Raises:
        TypeError: if a space is not supported.
        ValueError: if `predictor` was made for other spaces.
    """

    def __init__(
        self,
        venv: VecEnv,
        predictor: ReturnPredictor | None = None,
        *,
        structure: str = "markov",
        training: TrainingConfig | None = None,
        lesson_capacity: int = 512,
        train_every: int = 2048,
        min_lessons: int = 32,
        trust_threshold: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(venv)
        if predictor is None:
            spaces = venv.observation_space, venv.action_space
            predictor = ReturnPredictor.for_spaces(*spaces, structure=structure, seed=seed)
        predictor.features.check_spaces(venv.observation_space, venv.action_space)
        self.online = OnlinePredictor(
            predictor,
            LessonBuffer(lesson_capacity, seed=seed),
            training,
            train_every=train_every,
            min_lessons=min_lessons,
            trust_threshold=trust_threshold,
        )
        self.vec_steps = 0
        """Vectorised steps so far; each is `num_envs` environment steps."""
        self._finished: list[FinishedEpisode] | None = None
        self._recorder = EpisodeRecorder(self.num_envs)
        self._stream = ContributionStream(predictor, self.num_envs)
        self._features: list[list[Features]] = [[] for _ in range(self.num_envs)]
        self._handed: list[list[float]] = [[] for _ in range(self.num_envs)]

    @property
    def predictor(self) -> ReturnPredictor:
        """The predictor whose predictions are redistributed."""
        return self.online.predictor

    def reset(self) -> VecEnvObs:
        """Reset all environments; unfinished episodes are no lessons."""
        observations = self.venv.reset()
        self._recorder.start(observations)
        self._stream.restart(np.ones(self.num_envs, dtype=bool))
        self._features = [[] for _ in range(self.num_envs)]
        self._handed = [[] for _ in range(self.num_envs)]
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Send the actions."""
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Return the step with redistributed rewards; now and then, train the predictor."""
        observations, rewards, dones, infos = self.venv.step_wait()
        transitions, finished = self._recorder.record(self._actions, observations, rewards, dones, infos)
        features = self.predictor.features.encode(transitions)
        handed = self.online.mix(self._stream.step(features), rewards)
        self.vec_steps += 1
        for index, info in enumerate(infos):
            info["true_reward"] = float(rewards[index])
            self._features[index].append(features[index])
            if index in finished:
                handed[index] = finished[index].episode_return - sum(self._handed[index])
            self._handed[index].append(float(handed[index]))
        for index, episode in finished.items():
            self._close(index, episode)
        self._stream.restart(dones)
        if self.online.train_if_due(self.vec_steps * self.num_envs):
            self._stream.replay(self._features)
        return observations, handed.astype(np.float32), dones, infos

    def _close(self, index: int, episode: Episode) -> None:
        lesson = Lesson(np.stack(self._features[index]), episode.rewards)
        self.online.observe(lesson)
        if self._finished is not None:
            handed = np.array(self._handed[index])
            self._finished.append(FinishedEpisode(index, self.vec_steps, lesson, handed))
        self._features[index], self._handed[index] = [], []

    def keep_finished_episodes(self) -> None:
        """Remember finished episodes from now on, until `take_finished_episodes` asks for them."""
        self._finished = []

    def take_finished_episodes(self) -> list[FinishedEpisode]:
        """Episodes that ended since this was last asked; forgets them."""
        finished, self._finished = self._finished or [], []
        return finished
