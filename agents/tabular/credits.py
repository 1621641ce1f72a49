"""Where the redistributed reward of a tabular agent comes from: a trained predictor, its rivals, or the rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from agents.tabular.learners import returns_to_go
from agents.tabular.lockstep import Rollout
from agents.tabular.observed import Observed
from envs.finite import Floats
from rudder_lrp.episodes.features import Encoding, TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.online import OnlineConfig, OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig
from rudder_lrp.redistribution import RandomizedConfig, RandomizedRedistributor, Redistributor

Build = Callable[[ReturnPredictor], Redistributor]
"""From a predictor to the redistribution that explains it."""


@dataclass(frozen=True)
class CreditConfig:
    """How the model behind a credit learns; the same for every credit and task."""

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
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            predicts=Predicts.OUTLOOK,
            updates=300,
            kept=1.0,
            along_weight=0.5,
            weight_decay=1e-6,
            batch_size=32,
            learning_rate=1e-2,
            variation_weight=0.005,
        )
    )
    """One round."""

    def until_round(self, episodes: int) -> int:
        """Episodes from one round to the next, after so many."""
        return max(self.train_every, episodes // 4)


class Credit(ABC):
    """Redistributes the payment of the last step; what was paid before it came in time, and stays where it is."""

    explained_variance = float("nan")
    """Of the late payment, on held-out lessons; NaN for a credit that predicts nothing."""

    @property
    def q(self) -> float:
        """How far it is to be trusted, within [0, 1]."""
        return 1.0

    def learn(self, rollout: Rollout, lessons: list[Lesson], episodes: int) -> bool:
        """Take in finished episodes, `episodes` so far; true if earlier ones would now be redone."""
        return False

    @abstractmethod
    def contributions(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """What each step is given for the late payment, without the residual, `[N, T]`; zero beyond the end."""

    def redistribute(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """Rewards `[N, T]` that sum to each episode's return; the last step takes the residual."""
        rewards = paid_on_the_way(rollout) + self.contributions(rollout, lessons)
        rewards[:, 0] += self.expected(rollout)
        rewards[np.arange(len(rewards)), rollout.lengths - 1] += rollout.rewards.sum(axis=1) - rewards.sum(axis=1)
        return rewards

    def targets(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """What direct Q estimation moves each action's value towards, `[N, T]`: its redistributed reward."""
        return self.redistribute(rollout, lessons)

    def expected(self, rollout: Rollout) -> Floats | float:
        """The late payment that is expected before the first step, which is no step's credit.

        In the redistributed reward the first step has it nonetheless, as part of its action's value.
        """
        return 0.0


class PredictorCredit(Credit):
    """A return predictor, trained on the way, and a redistribution that explains it.

    Args:
        task: for its spaces.
        build: the redistribution.
        structure: of the predictor's LSTM.
        seed: of predictor and lessons.
        config: see `CreditConfig`.
    """

    def __init__(
        self, task: Observed, build: Build, structure: Structure | str, seed: int, config: CreditConfig
    ) -> None:
        self.config = config
        predictor = ReturnPredictor.for_spaces(
            task.observation_space,
            task.action_space,
            structure=structure,
            hidden_size=config.hidden_size,
            members=1,
            clock=0,  # the observations tell the time
            encoding=config.encoding,
            seed=seed,
        )
        self.online = OnlinePredictor(
            predictor,
            LessonBuffer(config.capacity, holdout_capacity=config.held_out, seed=seed),
            OnlineConfig(config.training, config.train_every, 1.0, config.min_lessons),
        )
        self.redistributor = build(predictor)
        self._expected = predictor.expected_return

    @property
    def q(self) -> float:
        """See `Credit.q`: the explained variance on held-out lessons, 0 below the threshold."""
        return self.online.q

    def learn(self, rollout: Rollout, lessons: list[Lesson], episodes: int) -> bool:
        """See `Credit.learn`."""
        for lesson in lessons:
            self.online.observe(lesson)
        self.online.config = replace(self.online.config, train_every=self.config.until_round(episodes))
        trained = self.online.train_if_due(episodes)
        if trained:
            self.explained_variance = self.online.quality.explained_variance
            self._expected = self._expected_before()
        return trained

    @torch.no_grad()
    def _expected_before(self) -> float:
        """What is expected before the first step.

        The mean of what is predicted after it: the readout's bias, which differences are taken from, is no mean of
        anything. Relevance for the last prediction knows no such moment and explains all but the bias.
        """
        predictor = self.online.predictor
        if not self.redistributor.causal:
            return predictor.expected_return
        first = np.stack([lesson.features[:1] for lesson in self.online.lessons.training])
        return float(predictor.in_return_units(predictor(torch.from_numpy(first))).mean())

    def contributions(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """See `Credit.contributions`."""
        credit = contributions_of(self.redistributor, lessons, rollout.rewards.shape[1])
        credit[:, 0] -= self._expected - self.online.predictor.expected_return
        return credit

    def expected(self, rollout: Rollout) -> float:
        """See `Credit.expected`."""
        return self._expected


class LookingAhead(Credit):
    """A credit whose rewards are no changes of a value: an action's value takes those to come as well."""

    def targets(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """See `Credit.targets`: what was paid at the step itself, and all redistributed reward from there on."""
        paid = paid_on_the_way(rollout)
        return paid + returns_to_go(self.redistribute(rollout, lessons) - paid)


class RandomizedCredit(LookingAhead):
    """Randomized return decomposition (Ren et al. 2022): a reward model of single steps, trained on the way.

    Args:
        task: for its spaces.
        seed: of model and lessons.
        config: see `CreditConfig`; a small model that learns as fast as the predictors do.
    """

    def __init__(self, task: Observed, seed: int, config: CreditConfig) -> None:
        self.config, training = config, config.training
        self.lessons = LessonBuffer(config.capacity, holdout_capacity=config.held_out, seed=seed)
        self.redistributor = RandomizedRedistributor(
            TransitionFeatures(task.observation_space, task.action_space, config.encoding),
            config=RandomizedConfig(training.learning_rate, batch_size=training.batch_size, unbiased=True),
            hidden_sizes=(64,),
            seed=seed,
        )
        self._next_round = config.train_every

    @property
    def q(self) -> float:
        """See `Credit.q`: 1 once it was trained; the method knows no trust."""
        return float(not np.isnan(self.explained_variance))

    def learn(self, rollout: Rollout, lessons: list[Lesson], episodes: int) -> bool:
        """See `Credit.learn`."""
        for lesson in lessons:
            self.lessons.add(lesson)
        if episodes < self._next_round or len(self.lessons) < self.config.min_lessons:
            return False
        self._next_round = episodes + self.config.until_round(episodes)
        self.redistributor.fit(self.lessons.training, self.config.training.updates)
        self.explained_variance = self._explained(self.lessons.held_out)
        return True

    def _explained(self, lessons: list[Lesson]) -> float:
        """Share of the variance of the returns that the sums of the rewards explain."""
        returns = np.array([lesson.episode_return for lesson in lessons])
        errors = returns - contributions_of(self.redistributor, lessons, max(map(len, lessons))).sum(axis=1)
        return 1.0 - float(np.square(errors).mean() / returns.var()) if returns.var() else float("-inf")

    def contributions(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """See `Credit.contributions`."""
        return contributions_of(self.redistributor, lessons, rollout.rewards.shape[1])


class UniformCredit(Credit):
    """`r_t = G / T`, of the whole return."""

    def contributions(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """See `Credit.contributions`."""
        running = np.arange(rollout.rewards.shape[1]) < rollout.lengths[:, None]
        return running * (rollout.rewards.sum(axis=1) / rollout.lengths)[:, None]

    def redistribute(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """See `Credit.redistribute`; here all of the return is redistributed."""
        return self.contributions(rollout, lessons)


@torch.no_grad()
def contributions_of(redistributor: Redistributor, lessons: list[Lesson], steps: int) -> Floats:
    """Contributions of N lessons, `[N, steps]`; zero beyond the end."""
    credit = np.zeros((len(lessons), steps))
    for start in range(0, len(lessons), 64):
        batch = LessonBatch.collate(lessons[start : start + 64])
        found = redistributor.contributions(batch.features, batch.lengths).double().numpy()
        credit[start : start + 64, : found.shape[1]] = found
    return credit


def paid_on_the_way(rollout: Rollout) -> Floats:
    """The rewards without the last one of each episode, `[N, T]`."""
    paid = rollout.rewards.copy()
    paid[np.arange(len(paid)), rollout.lengths - 1] = 0.0
    return paid
