"""Fit a return predictor on lessons, and measure it on lessons it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.episodes import Episode
from rudder_lrp.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.lrp.sequences import last_valid, valid_steps
from rudder_lrp.predictor import ReturnPredictor

_LEAST_VARIANCE = 1e-3  # so that a late reward that hardly varies yet does not outweigh everything


@dataclass(frozen=True)
class TrainingConfig:
    """How a predictor is trained."""

    updates: int = 30
    """Gradient steps of one call."""
    batch_size: int = 32
    """Lessons of one gradient step."""
    batch_steps: int = 2048
    """A gradient step takes fewer lessons where they have more steps than this in all, so that its time is bounded."""
    learning_rate: float = 3e-3
    """Of Adam."""
    weight_decay: float = 1e-6
    """L2, as in RUDDER's demonstration code."""
    along_weight: float = 0.5
    """Weight of the return predicted at every step, beside the one at the last step."""
    max_gradient_norm: float = 1.0
    """Gradients are clipped to this norm."""


class Losses(NamedTuple):
    """Squared errors of what is predicted to be outstanding, in units of its normalisation, one value a lesson."""

    last: Tensor
    """At the last step, `[B]`."""
    along: Tensor
    """Mean over the steps, `[B]`."""


def losses(predictor: ReturnPredictor, batch: LessonBatch) -> Losses:
    """Errors of the predictions for a batch of lessons."""
    predictions = predictor(batch.features)
    targets = (batch.outstanding - predictor.return_mean) / predictor.return_scale
    squared = (predictions - targets).square()
    mask = valid_steps(batch.lengths, squared.shape[1])
    along = (squared * mask).sum(dim=1) / batch.lengths
    return Losses(last_valid(squared, batch.lengths), along)


class Quality(NamedTuple):
    """How well a predictor does on lessons it was not trained on."""

    explained_variance: float
    """`1 - MSE / Var` of the prediction at the last step, where the reward that came late is outstanding (all of the
    return, if it is paid at the end); at most 1, 0 for predicting the mean."""
    loss_last: float
    loss_along: float

    @property
    def q(self) -> float:
        """Trust in the redistribution: the explained variance, within [0, 1]."""
        return min(max(self.explained_variance, 0.0), 1.0)


NO_QUALITY = Quality(float("-inf"), float("nan"), float("nan"))


@torch.no_grad()
def evaluate(predictor: ReturnPredictor, lessons: Sequence[Lesson]) -> Quality:
    """Measure a predictor on held-out lessons; where what comes last does not vary, nothing is explained."""
    late = np.array([lesson.outstanding[-1] for lesson in lessons])
    if len(late) < 2 or late.var() == 0.0:
        return NO_QUALITY
    last, along = losses(predictor, LessonBatch.collate(lessons))
    variance = late.var() / float(predictor.return_scale) ** 2
    return Quality(1.0 - float(last.mean()) / variance, float(last.mean()), float(along.mean()))


class Trainer:
    """Updates one predictor, call after call, and keeps its optimizer.

    Args:
        predictor: trained in place.
        config: see `TrainingConfig`.
    """

    def __init__(self, predictor: ReturnPredictor, config: TrainingConfig | None = None) -> None:
        self.predictor = predictor
        self.config = config or TrainingConfig()
        self.optimizer = torch.optim.Adam(
            predictor.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )

    def train(self, lessons: LessonBuffer) -> Quality:
        """Do `config.updates` gradient steps on the training part; return the quality on the held-out part.

        Raises:
            ValueError: if all lessons have the same return.
        """
        if not lessons.returns_vary:
            value = lessons.training[0].episode_return if lessons.training else "none at all"
            raise ValueError(
                f"all {len(lessons)} lessons have the same return ({value}): there is nothing to predict; "
                "collect lessons with different returns, for example with more exploration"
            )
        variance_last = self._normalise(lessons)
        config = self.config
        for chosen in lessons.batches(config.updates, config.batch_size, config.batch_steps):
            batch = LessonBatch.collate([lessons.training[index] for index in chosen])
            lessons.record_losses(chosen, self._update(batch, variance_last).tolist())
        return evaluate(self.predictor, lessons.held_out)

    def _normalise(self, lessons: LessonBuffer) -> float:
        """Normalise what is outstanding along the way; return the normalised variance of what is at the last step."""
        outstanding = [lesson.outstanding for lesson in lessons.training]
        mean = float(np.mean([steps.mean() for steps in outstanding]))
        variance = float(np.mean([np.square(steps - mean).mean() for steps in outstanding]))
        self.predictor.rescale_(mean, variance**0.5)
        return max(float(np.var([steps[-1] for steps in outstanding])) / variance, _LEAST_VARIANCE)

    def _update(self, batch: LessonBatch, variance_last: float) -> Tensor:
        errors = losses(self.predictor, batch)
        self.optimizer.zero_grad()
        # Both errors count as shares of what there is to explain: a late reward may be small beside the early ones.
        (errors.last / variance_last + self.config.along_weight * errors.along).mean().backward()
        nn.utils.clip_grad_norm_(self.predictor.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        self.predictor.constrain_()
        return errors.last.detach()


def fit(
    predictor: ReturnPredictor,
    lessons: LessonBuffer | Sequence[Episode],
    config: TrainingConfig | None = None,
) -> Quality:
    """Train a predictor on lessons, every fifth of them held out, and return its quality on those.

    Episodes update the normalisation of the features first.

    Raises:
        ValueError: if all lessons have the same return.
    """
    if not isinstance(lessons, LessonBuffer):
        buffer = LessonBuffer(capacity=max(len(lessons), 2), holdout_capacity=max(len(lessons), 1))
        for episode in lessons:
            buffer.add(lesson := Lesson.from_episode(episode, predictor.features))
            predictor.normalizer.update(lesson.features)
        lessons = buffer
    return Trainer(predictor, config or TrainingConfig(updates=1000)).train(lessons)
