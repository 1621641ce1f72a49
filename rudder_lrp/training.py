"""Fit a return predictor on lessons, and measure it on lessons it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.episodes import Array, Episode
from rudder_lrp.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.lrp.sequences import last_valid, valid_steps
from rudder_lrp.predictor import ReturnPredictor


class Target(StrEnum):
    """What of the return the predictor learns to predict, beyond what has been paid."""

    LAST = "last"
    """The last reward, which is all of the return where nothing is paid before. What is paid on the way came in time:
    it stays where it is, and predicting it would only add noise."""
    OUTSTANDING = "outstanding"
    """All that is still to come after each step: where payments on the way come late, too."""

    def of(self, batch: LessonBatch) -> Tensor:
        """What is to be predicted after each step, `[B, T]`."""
        if self is Target.OUTSTANDING:
            return batch.outstanding
        return last_valid(batch.outstanding, batch.lengths)[:, None].expand_as(batch.outstanding)

    def values(self, lesson: Lesson) -> Array:
        """The different things to be predicted in one lesson."""
        return lesson.outstanding if self is Target.OUTSTANDING else lesson.outstanding[-1:]


_EVALUATED_AT_ONCE = 16  # lessons of similar length, so that little is padding
_LEAST_VARIANCE = 1e-3  # so that a late reward that hardly varies yet does not outweigh everything


@dataclass(frozen=True)
class TrainingConfig:
    """How a predictor is trained."""

    updates: int = 30
    """Gradient steps of one call, while nothing is explained yet."""
    following_updates: int = 10
    """Gradient steps of one call once held-out lessons are fully explained, so that the predictor only has to follow
    the policy; between the two in proportion to the explained variance. No more than `updates`."""
    batch_size: int = 32
    """Lessons of one gradient step."""
    batch_steps: int = 2048
    """A gradient step takes fewer lessons where they have more steps than this in all, so that its time is bounded."""
    learning_rate: float = 3e-3
    """Of Adam."""
    weight_decay: float = 1e-6
    """L2, as in RUDDER's demonstration code."""
    along_weight: float = 0.5
    """Weight of the return predicted at every step, beside the one at the last step.

    With it, a prediction foresees what the policy will still earn, and a step earns what it changed in that outlook:
    early, yet true of this policy alone. Without it, predictions only add up to the return, and a step earns its share
    of it (return decomposition, Efroni et al. 2021), whatever policy comes after."""
    variation_weight: float = 0.0
    """Weight of the total variation of an episode's predictions, in standard deviations of what comes last.

    Credit is the change of the prediction, so this asks for an explanation with little credit in all: what tells
    nothing, such as a distraction, earns nothing. Where steps rightly earn in both directions it costs true credit."""
    target: Target = Target.LAST
    """What of the return is predicted."""
    max_gradient_norm: float = 1.0
    """Gradients are clipped to this norm."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", Target(self.target))


class Losses(NamedTuple):
    """Squared errors of what is predicted to be outstanding, in units of its normalisation, one value a lesson."""

    last: Tensor
    """At the last step, `[B]`."""
    along: Tensor
    """Mean over the steps, `[B]`."""
    variation: Tensor
    """No error: the sum over the steps of the absolute change of the prediction, `[B]`."""


def losses(predictor: ReturnPredictor, batch: LessonBatch, target: Target = Target.LAST) -> Losses:
    """Errors of the predictions for a batch of lessons."""
    predictions = predictor(batch.features)
    targets = (target.of(batch) - predictor.return_mean) / predictor.return_scale
    squared = (predictions - targets).square()
    mask = valid_steps(batch.lengths, squared.shape[1])
    along = (squared * mask).sum(dim=1) / batch.lengths
    variation = (predictor.changes(predictions).abs() * mask).sum(dim=1)
    return Losses(last_valid(squared, batch.lengths), along, variation)


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
def evaluate(predictor: ReturnPredictor, lessons: Sequence[Lesson], target: Target = Target.LAST) -> Quality:
    """Measure a predictor on held-out lessons; where what comes last does not vary, nothing is explained."""
    late = np.array([lesson.outstanding[-1] for lesson in lessons])
    if len(late) < 2 or late.var() == 0.0:
        return NO_QUALITY
    by_length = sorted(lessons, key=len)
    groups = [by_length[at : at + _EVALUATED_AT_ONCE] for at in range(0, len(by_length), _EVALUATED_AT_ONCE)]
    parts = [losses(predictor, LessonBatch.collate(group), target) for group in groups]
    last, along, _ = (torch.cat(errors) for errors in zip(*parts, strict=True))
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

    def nothing_to_predict(self, lessons: LessonBuffer) -> str | None:
        """A sentence that says why no lesson differs from the others, if that is so."""
        values: set[float] = set()
        for lesson in lessons.training:
            values.update(self.config.target.values(lesson).tolist())
            if len(values) > 1:
                return None
        returns = {lesson.episode_return for lesson in lessons.training}
        if len(returns) < 2:
            return (
                f"all {len(lessons)} lessons have the same return ({returns.pop() if returns else 'none at all'}): "
                "there is nothing to predict; collect lessons with different returns, say with more exploration"
            )
        return (
            f"all {len(lessons)} lessons have the same last reward ({values.pop()}): no reward comes late enough to "
            "predict; collect lessons with more exploration, or where rewards on the way are late too, set the target "
            "of the training to 'outstanding'"
        )

    def train(self, lessons: LessonBuffer, explained: float = 0.0) -> Quality:
        """Do gradient steps on the training part; return the quality on the held-out part.

        Args:
            lessons: to learn from.
            explained: share of the held-out variance that was explained before, which says how many steps it takes.

        Raises:
            ValueError: if there is nothing to predict.
        """
        if nothing := self.nothing_to_predict(lessons):
            raise ValueError(nothing)
        variance_last = self._normalise(lessons)
        config = self.config
        spared = max(config.updates - config.following_updates, 0)
        updates = config.updates - round(explained * spared)
        for chosen in lessons.batches(updates, config.batch_size, config.batch_steps):
            batch = LessonBatch.collate([lessons.training[index] for index in chosen])
            lessons.record_losses(chosen, self._update(batch, variance_last).tolist())
        return evaluate(self.predictor, lessons.held_out, config.target)

    def _normalise(self, lessons: LessonBuffer) -> float:
        """Normalise the target along the way; return the normalised variance of the one at the last step."""
        values = [self.config.target.values(lesson) for lesson in lessons.training]
        mean = float(np.mean([along.mean() for along in values]))
        variance = float(np.mean([np.square(along - mean).mean() for along in values]))
        self.predictor.rescale_(mean, variance**0.5)
        return max(float(np.var([along[-1] for along in values])) / variance, _LEAST_VARIANCE)

    def _update(self, batch: LessonBatch, variance_last: float) -> Tensor:
        errors = losses(self.predictor, batch, self.config.target)
        self.optimizer.zero_grad()
        # Both errors count as shares of what there is to explain: a late reward may be small beside the early ones.
        loss = errors.last / variance_last + self.config.along_weight * errors.along
        if self.config.variation_weight:
            loss = loss + self.config.variation_weight * errors.variation / variance_last**0.5
        loss.mean().backward()
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
