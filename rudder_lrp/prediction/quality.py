"""How far a return predictor is off, and what its redistribution is worth by that."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rudder_lrp.episodes.episode import Array
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.lrp.sequences import last_valid, valid_steps
from rudder_lrp.prediction.predictor import Head, ReturnPredictor

_EVALUATED_AT_ONCE = 16  # lessons of similar length, so that little is padding


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


class Losses(NamedTuple):
    """Errors of what is predicted to be outstanding, in units of its normalisation, one value a lesson."""

    last: Tensor
    """Squared, at the last step, `[B]`."""
    along: Tensor
    """Squared, in the mean over the steps, `[B]`."""
    excess: Tensor
    """Not squared, at the last step: what is predicted too much, `[B]`."""
    variation: Tensor
    """No error: the sum over the steps of the absolute change of the prediction, `[B]`."""


def losses(predictor: ReturnPredictor, batch: LessonBatch, target: Target, heads: Sequence[Head]) -> dict[Head, Losses]:
    """Errors of what heads predict for a batch of lessons."""
    states = predictor.states(batch.features)
    targets = (target.of(batch) - predictor.return_mean) / predictor.return_scale
    mask = valid_steps(batch.lengths, targets.shape[1])
    return {head: _losses(predictor, head, states, targets, mask, batch.lengths) for head in heads}


def _losses(
    predictor: ReturnPredictor, head: Head, states: Tensor, targets: Tensor, mask: Tensor, lengths: Tensor
) -> Losses:
    predictions = predictor.heads[head](states)[..., 0]
    errors = predictions - targets
    squared = errors.square()
    along = (squared * mask).sum(dim=1) / lengths
    variation = (predictor.changes(predictions, head).abs() * mask).sum(dim=1)
    return Losses(last_valid(squared, lengths), along, last_valid(errors, lengths), variation)


class Quality(NamedTuple):
    """How well a predictor does on lessons it was not trained on."""

    explained_variance: float
    """`1 - MSE / Var` of the prediction at the last step, where the reward that came late is outstanding (all of the
    return, if it is paid at the end); at most 1, 0 for predicting the mean."""
    loss_last: float
    loss_along: float
    foreseen: float = float("nan")
    """The same as the explained variance, but of the outlook, in the mean over all steps; NaN if none is predicted."""
    excess: float = 0.0
    """Mean error of the prediction at the last step, in units of its normalisation."""

    @property
    def q(self) -> float:
        """Trust in the redistribution: the explained variance, within [0, 1]."""
        return min(max(self.explained_variance, 0.0), 1.0)


NO_QUALITY = Quality(float("-inf"), float("nan"), float("nan"))


@torch.no_grad()
def evaluate(
    predictor: ReturnPredictor,
    lessons: Sequence[Lesson],
    target: Target = Target.LAST,
    heads: Sequence[Head] = tuple(Head),
) -> dict[Head, Quality]:
    """Measure heads on held-out lessons; where what comes last does not vary, nothing is explained."""
    late = np.array([lesson.outstanding[-1] for lesson in lessons])
    if len(late) < 2 or late.var() == 0.0:
        return dict.fromkeys(heads, NO_QUALITY)
    by_length = sorted(lessons, key=len)
    groups = [by_length[at : at + _EVALUATED_AT_ONCE] for at in range(0, len(by_length), _EVALUATED_AT_ONCE)]
    parts = [losses(predictor, LessonBatch.collate(group), target, heads) for group in groups]
    _, variance_along = moments([target.values(lesson) for lesson in lessons])
    squared_scale = float(predictor.return_scale) ** 2
    variances = float(late.var()) / squared_scale, variance_along / squared_scale
    return {head: _quality([part[head] for part in parts], *variances, head) for head in heads}


def _quality(parts: Sequence[Losses], variance_last: float, variance_along: float, head: Head) -> Quality:
    last, along, excess, _ = (float(torch.cat(errors).mean()) for errors in zip(*parts, strict=True))
    foreseen = 1.0 - along / variance_along if head is Head.OUTLOOK else float("nan")
    return Quality(1.0 - last / variance_last, last, along, foreseen, excess)


def moments(values: Sequence[Array]) -> tuple[float, float]:
    """Mean and variance of what is to be predicted along the lessons, each of which counts alike."""
    mean = float(np.mean([along.mean() for along in values]))
    return mean, float(np.mean([np.square(along - mean).mean() for along in values]))
