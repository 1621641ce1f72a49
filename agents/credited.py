"""A tabular agent that learns from redistributed reward, its predictor trained on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from agents.learners import DirectQ, MonteCarlo
from agents.lockstep import Rollout
from envs.finite import FiniteEnv, Floats
from rudder_lrp.episodes import Episode
from rudder_lrp.features import Encoding
from rudder_lrp.lessons import Lesson, LessonBuffer
from rudder_lrp.lstm import Structure
from rudder_lrp.online import OnlinePredictor
from rudder_lrp.predictor import ReturnPredictor
from rudder_lrp.redistribution import Redistributor
from rudder_lrp.training import TrainingConfig

Build = Callable[[ReturnPredictor], Redistributor]
"""From a predictor to the redistribution that explains it."""


@dataclass(frozen=True)
class CreditConfig:
    """How the predictor of a tabular agent learns; the same for every credit and task."""

    hidden_size: int = 16
    """Cells of the LSTM."""
    encoding: Encoding = Encoding.CHANGES
    """What of the observations the predictor sees; states here are categories and counts."""
    train_every: int = 50
    """Episodes between two rounds of training, at first; later a quarter of the episodes so far."""
    min_lessons: int = 100
    """No training before."""
    capacity: int = 2048
    """Lessons kept."""
    held_out: int = 256
    """Of the latest lessons that are never trained on, how many say whether the predictor is to be trusted."""
    relearnt: int = 512
    """Of the latest episodes, how many the agent learns from anew after a round."""
    late_only: bool = True
    """Redistribute the payment of the last step alone, and leave what was paid before it where it is: a reward that
    comes in time needs no other credit, and its noise would drown the rest."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(updates=50, batch_size=32, learning_rate=1e-2)
    )
    """One round."""


def observe(env: FiniteEnv, states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What `env` shows of the states `[N, T + 1]` of N episodes, `[N, T + 1, D]`."""
    times = np.broadcast_to(np.linspace(0.0, 1.0, states.shape[1])[:, None], (*states.shape, 1))
    bits = rng.integers(2, size=(*states.shape, env.distractors))
    return np.concatenate([env.model.view[states], bits, times], axis=2).astype(np.float32)


class CreditedAgent:
    """Direct Q estimation on redistributed reward, as far as the predictor is trusted; Monte Carlo for the rest.

    Two tables learn side by side, one from the environment's own reward and one from the redistributed reward, which is
    of another scale. The agent acts by their mixture, weighted by the predictor's quality q on held-out lessons. Both
    updates are linear in the reward, so for a constant q this is the table of the mixed reward; and when q falls, the
    other table is there, up to date. After each round of training the latest episodes are redistributed and learnt from
    anew.

    Args:
        env: the task.
        build: the redistribution.
        structure: of the predictor's LSTM.
        seed: of table, predictor and lessons.
        learning_rate: of the table of redistributed reward.
        plain_learning_rate: of the table of the environment's own reward, as without credit.
        config: see `CreditConfig`.
    """

    def __init__(
        self,
        env: FiniteEnv,
        build: Build,
        structure: Structure | str,
        seed: int,
        learning_rate: float = 0.1,
        plain_learning_rate: float = 0.1,
        config: CreditConfig | None = None,
    ) -> None:
        self.env, self.seed, self.config = env, seed, config or CreditConfig()
        predictor = ReturnPredictor.for_spaces(
            env.observation_space,
            env.action_space,
            structure=structure,
            hidden_size=self.config.hidden_size,
            encoding=self.config.encoding,
            seed=seed,
        )
        self.online = OnlinePredictor(
            predictor,
            LessonBuffer(self.config.capacity, holdout_capacity=self.config.held_out, seed=seed),
            self.config.training,
            train_every=self.config.train_every,
            min_lessons=self.config.min_lessons,
        )
        self.redistributor = build(predictor)
        self.episodes = 0
        self._rng = np.random.default_rng([seed, 2])
        self._plain = MonteCarlo(env.model, [seed], plain_learning_rate)
        self._credit = DirectQ(env.model, [seed], learning_rate)
        self.latest: list[tuple[Rollout, list[Lesson]]] = []
        """The latest episodes, and what the predictor sees of them."""

    @property
    def values(self) -> Floats:
        """What the agent acts by, `[1, T, S, A]`."""
        q = self.online.q
        return q * self._credit.values + (1.0 - q) * self._plain.values

    def learn(self, rollout: Rollout) -> None:
        """Learn from N finished episodes; train if it is time."""
        lessons = self.lessons(rollout)
        self.latest.append((rollout, lessons))
        del self.latest[: -self.config.relearnt // len(lessons)]
        for lesson in lessons:
            self.online.observe(lesson)
        self.episodes += len(lessons)
        self.online.train_every = max(self.config.train_every, self.episodes // 4)
        trained = self.online.train_if_due(self.episodes)
        self._one_by_one(self._plain, rollout)
        if self.online.version:
            for earlier, known in self.latest if trained else self.latest[-1:]:
                self._one_by_one(self._credit, earlier._replace(rewards=self.redistribute(earlier, known)))

    def lessons(self, rollout: Rollout) -> list[Lesson]:
        """The episodes as the predictor sees them."""
        seen = observe(self.env, rollout.states, self._rng)
        lessons = []
        for at, n in enumerate(rollout.lengths):
            rewards = rollout.rewards[at, :n]
            episode = Episode(seen[at, : n + 1], rollout.actions[at, :n], rewards)
            lesson = Lesson.from_episode(episode, self.online.predictor.features)
            lessons.append(replace(lesson, rewards=_last_only(rewards)) if self.config.late_only else lesson)
        return lessons

    def redistribute(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """Redistributed rewards `[N, T]`, what is not redistributed included."""
        rewards = np.zeros_like(rollout.rewards)
        for row, paid, lesson, credit in zip(
            rewards, rollout.rewards, lessons, self.redistributor.redistribute(lessons), strict=True
        ):
            row[: len(lesson)] = paid[: len(lesson)] - lesson.rewards + credit
        return rewards

    def _one_by_one(self, learner: MonteCarlo | DirectQ, rollout: Rollout) -> None:
        for at in range(len(rollout.lengths)):
            learner.learn(Rollout(*(part[at : at + 1] for part in rollout)))


def _last_only(rewards: Floats) -> Floats:
    late = np.zeros_like(rewards)
    late[-1] = rewards[-1]
    return late
