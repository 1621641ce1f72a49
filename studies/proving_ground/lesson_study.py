"""How credit's error falls with the number of lessons it is learnt from, and grows with the age of their policy.

In the loop a predictor has a few hundred lessons, most of them of policies that are gone. What more of them, or newer
ones, would be worth says how much of credit's error is theirs, and how much the predictor's.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy

from envs.true_credit import Floats, KnowsCredit, PlayedEpisode, Policy
from rudder_lrp.episodes.features import TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training import fit, gathered
from rudder_lrp.prediction.training_config import offline
from rudder_lrp.redistribution import LRPRedistributor, Residual
from studies.proving_ground.credit_truth import (
    acting,
    as_agents_see,
    compare_credits,
    credited_environment,
    handed_credits,
    played_episodes,
    task_of,
    true_credits,
)

_JUDGED, _JUDGED_SEED = 200, 20_000  # episodes that no predictor learns from
_LESSONS_SEED = 1_000_000
_LEFT_OUT = ("true_", "within_")  # the same for all predictors, and of error bars, which are not asked for


@dataclass(frozen=True)
class LessonStudy:
    """How many lessons, of policies how old, a fresh predictor is fitted to."""

    counts: tuple[int, ...]
    """Numbers of lessons of the policy whose credit is judged."""
    ages: tuple[float, ...]
    """How long ago, as shares of the agent's training, the policies were that the lessons are of."""
    aged: int = 600
    """Lessons of each age."""
    updates: int = 1000
    """Of each predictor, at least; see `rudder_lrp.prediction.training_config.offline`."""


@dataclass(frozen=True)
class Judge:
    """Fits predictors to lessons, and compares their credit with the true one of a policy."""

    task: KnowsCredit
    played: Sequence[PlayedEpisode]
    """Episodes of the policy."""
    true: Sequence[Floats]
    """Their true credit, `[T]` each."""
    features: TransitionFeatures
    """The encoding of the predictors."""
    updates: int
    """Of each predictor, at least."""
    seed: int
    """Of their weights."""

    def truth_after(self, lessons: Sequence[Lesson]) -> dict[str, float]:
        """How near the credit comes that a fresh predictor hands out after these lessons, all of it trusted."""
        predictor = ReturnPredictor(self.features, seed=self.seed)
        training = offline(len(lessons), self.updates)
        quality = fit(predictor, gathered(predictor, lessons, self.seed), training)
        return self.truth_of(predictor) | {"explained_variance": round(quality.explained_variance, 4)}

    def truth_of(self, predictor: ReturnPredictor) -> dict[str, float]:
        """How near a predictor's credit comes, all of it trusted, what is left of the return handed out by doubt.

        Beside it, as `error_last`, the error where the last step takes what is left.
        """
        by_doubt, last = (self._compared(predictor, residual) for residual in (Residual.DOUBT, Residual.LAST))
        found = {name: value for name, value in by_doubt.items() if not name.startswith(_LEFT_OUT)}
        return found | {"error_last": last["error"]}

    def _compared(self, predictor: ReturnPredictor, residual: Residual) -> dict[str, float]:
        handed = handed_credits(LRPRedistributor(predictor, residual), self.played, trust=1.0)
        return compare_credits(handed.credits, self.true, self.played).rounded()

    def lessons_of(self, policy: Policy, count: int) -> list[Lesson]:
        """Episodes of a policy as the predictors see them."""
        played = played_episodes(self.task, policy, count, _LESSONS_SEED)
        return [Lesson.from_episode(as_agents_see(one), self.features) for one in played]


class StudiedPolicies(BaseCallback):
    """Keeps copies of an agent's policy while it trains, and fits fresh predictors to lessons of them afterwards.

    Args:
        study: what is asked.
        timesteps: of the training.
        seed: of the predictors.
    """

    def __init__(self, study: LessonStudy, timesteps: int, seed: int) -> None:
        super().__init__()
        self.study, self.seed = study, seed
        self.kept: dict[float, BasePolicy] = {}
        """By age at the end of the training."""
        self._steps = {age: round((1.0 - age) * timesteps) for age in study.ages}

    def _on_step(self) -> bool:
        for age, step in self._steps.items():
            if age not in self.kept and self.num_timesteps >= step:
                self.kept[age] = copy.deepcopy(self.model.policy)
        return True

    def found(self, model: BaseAlgorithm) -> dict[str, Any]:
        """How near credit comes to the true one of a trained model, by number and by age of lessons, ready for JSON.

        `in_hindsight` is that of the model's own predictor.

        The environment has to know its credit.
        """
        env = credited_environment(model)
        assert env is not None
        task, policy = task_of(env), acting(model.policy)
        played = list(played_episodes(task, policy, _JUDGED, _JUDGED_SEED))
        true, features = true_credits(task, policy, played), env.predictor.features
        judge = Judge(task, played, true, features, self.study.updates, self.seed)
        lessons = judge.lessons_of(policy, max(self.study.counts))
        return {
            "in_hindsight": judge.truth_of(env.predictor),
            "by_lessons": [(count, judge.truth_after(lessons[:count])) for count in self.study.counts],
            "by_age": [
                (age, judge.truth_after(judge.lessons_of(acting(before), self.study.aged)))
                for age, before in sorted(self.kept.items())
            ],
        }
