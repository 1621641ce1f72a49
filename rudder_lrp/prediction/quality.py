"""How far a return predictor is off, and what its redistribution is worth by that."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from rudder_lrp.episodes.episode import Array
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.lrp.sequences import last_valid, valid_steps
from rudder_lrp.prediction.predictor import Head, ReturnPredictor

_ROUNDING = 1e-12  # of a sum of float64, relative
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
    """Errors of what is predicted to be outstanding, in units of its normalisation, by lesson and member."""

    last: Tensor
    """Squared, at the last step, `[B, K]`."""
    along: Tensor
    """Squared, in the mean over the steps, `[B, K]`."""
    excess: Tensor
    """Not squared, at the last step: what is predicted too much, `[B, K]`."""
    variation: Tensor
    """No error: the sum over the steps of the absolute change of the prediction, `[B, K]`."""


def losses(
    predictor: ReturnPredictor, batch: LessonBatch, target: Target, heads: Sequence[Head], together: bool = False
) -> dict[Head, Losses]:
    """Errors of what the members of heads predict for a batch of lessons, or their mean (`together`, K = 1)."""
    states = predictor.states(batch.features)
    targets = ((target.of(batch) - predictor.return_mean) / predictor.return_scale).to(states.dtype)
    mask = valid_steps(batch.lengths, targets.shape[1])
    found = {}
    for head in heads:
        read = predictor.heads[head]
        predictions, bias = read(states), cast(Tensor, read.bias)
        if together:
            predictions, bias = predictions.mean(dim=2, keepdim=True), bias.mean(dim=0, keepdim=True)
        found[head] = _losses(predictions, bias, targets[..., None], mask[..., None], batch.lengths)
    return found


def _losses(predictions: Tensor, bias: Tensor, targets: Tensor, mask: Tensor, lengths: Tensor) -> Losses:
    errors = predictions - targets
    squared = errors.square()
    along = (squared * mask).sum(dim=1) / lengths[:, None]
    changes = torch.diff(predictions, dim=1, prepend=bias.expand(len(predictions), 1, -1))
    variation = (changes.abs() * mask).sum(dim=1)
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
    standard_error: float = 0.0
    """Of the explained variance, by the spread of the lessons it was measured on."""

    @property
    def q(self) -> float:
        """Trust in the redistribution, within [0, 1]: the explained variance, as far as it is beyond chance.

        One standard error is taken off. A few lessons that happen to agree earn nothing, trust rises without jumps as
        lessons come in, and it falls when the predictor gets worse.
        """
        return min(max(self.explained_variance - self.standard_error, 0.0), 1.0)


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
    if not differ(late):
        return dict.fromkeys(heads, NO_QUALITY)
    by_length = sorted(lessons, key=len)
    late = np.array([lesson.outstanding[-1] for lesson in by_length])
    groups = [by_length[at : at + _EVALUATED_AT_ONCE] for at in range(0, len(by_length), _EVALUATED_AT_ONCE)]
    parts = [losses(predictor, LessonBatch.collate(group), target, heads, together=True) for group in groups]
    _, variance_along = moments([target.values(lesson) for lesson in lessons])
    scale = float(predictor.return_scale)
    deviations = np.square((late - late.mean()) / scale)
    return {
        head: _quality([part[head] for part in parts], deviations, variance_along / scale**2, head) for head in heads
    }


def _quality(parts: Sequence[Losses], deviations: Array, variance_along: float, head: Head) -> Quality:
    last, along, excess, _ = (torch.cat(errors)[:, 0].double().numpy() for errors in zip(*parts, strict=True))
    unexplained = float(last.mean() / deviations.mean())
    # Of a ratio of two means, by its linear part (the delta method).
    residuals = last - unexplained * deviations
    error = float(np.sqrt(np.square(residuals).sum())) / float(deviations.sum())
    foreseen = 1.0 - float(along.mean()) / variance_along if head is Head.OUTLOOK else float("nan")
    return Quality(1.0 - unexplained, float(last.mean()), float(along.mean()), foreseen, float(excess.mean()), error)


def differ(values: Array) -> bool:
    """Whether values `[N]` differ by more than the rounding of sums that make them up."""
    return len(values) > 1 and float(np.ptp(values)) > _ROUNDING * float(np.abs(values).max())


def moments(values: Sequence[Array]) -> tuple[float, float]:
    """Mean and variance of what is to be predicted along the lessons, each of which counts alike."""
    mean = float(np.mean([along.mean() for along in values]))
    return mean, float(np.mean([np.square(along - mean).mean() for along in values]))
