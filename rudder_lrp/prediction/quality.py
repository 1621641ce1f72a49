"""How far a return predictor is off, and what its redistribution is worth by that."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.episodes.episode import Array
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.lrp.sequences import last_valid, valid_steps
from rudder_lrp.prediction.predictor import Head, ReturnPredictor

_ROUNDING = 1e-12  # of a sum of float64, relative
_TOLD_APART = 2.0**-20  # relative: agents are paid in float32, and eight of its roundings are no difference to them
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


class Products(NamedTuple):
    """Means over some steps of a lesson, `[B]` each: what a line through all lessons is fitted from."""

    predicted: Tensor
    came: Tensor
    both: Tensor
    """Of the product of the two."""
    squared: Tensor
    """Of the square of what was predicted."""


def losses(predictor: ReturnPredictor, batch: LessonBatch, target: Target, heads: Sequence[Head]) -> dict[Head, Losses]:
    """Errors of what the members of heads predict for a batch of lessons."""
    states = predictor.states(batch.features)
    targets = _normalised(predictor, target.of(batch)).to(states.dtype).to(states.device)
    lengths = batch.lengths.to(states.device)
    mask = valid_steps(lengths, targets.shape[1])
    # All heads at once: they are small, and most of the time would go into the calls.
    weight, bias = (torch.cat([getattr(predictor.heads[head], name) for head in heads]) for name in ("weight", "bias"))
    predictions = nn.functional.linear(states, weight, bias)
    of_all = _losses(predictions, bias, targets[..., None], mask[..., None], lengths)
    by_head = zip(*(part.split(predictor.members, dim=1) for part in of_all), strict=True)
    return dict(zip(heads, map(Losses._make, by_head), strict=True))


def _normalised(predictor: ReturnPredictor, values: Tensor) -> Tensor:
    return (values - predictor.return_mean) / predictor.return_scale


def _losses(predictions: Tensor, bias: Tensor, targets: Tensor, mask: Tensor, lengths: Tensor) -> Losses:
    errors = predictions - targets
    last = last_valid(errors, lengths)
    along = (errors.square() * mask).sum(dim=1) / lengths[:, None]
    changes = torch.diff(predictions, dim=1, prepend=bias.expand(len(predictions), 1, -1))
    variation = (changes.abs() * mask).sum(dim=1)
    return Losses(last.square(), along, last, variation)


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
    slope: float = 0.0
    """How much came about of a difference that was predicted: 1 where predictions are right in the mean, however much
    they leave open, less where they exaggerate, 0 where they are made up."""
    standard_error: float = 0.0
    """Of the slope, by the spread of the lessons it was measured on."""
    doubt: float = 0.0
    """Mean variance among members of the prediction at the last step, in units of its normalisation, squared."""

    @property
    def calibration(self) -> float:
        """How much farther the members' mean lies from what came than they lie from each other.

        They share their lessons, and what lessons have misled one have misled all. Whatever is luck in what came counts
        as error, so this is rather too much than too little.
        """
        ratio = (self.loss_last / self.doubt) ** 0.5 if self.doubt > 0.0 else 0.0
        return max(ratio, LEAST_CALIBRATION)

    @property
    def q(self) -> float:
        """Trust in the redistribution, within [0, 1]: the slope, as far as it is beyond chance.

        One standard error is taken off. A few lessons that happen to agree earn nothing, trust rises without jumps as
        lessons come in, and it falls when the predictor gets worse. What a predictor leaves open costs no trust: it is
        no reason to hold back what is known.
        """
        return min(max(self.slope - self.standard_error, 0.0), 1.0)


LEAST_CALIBRATION = 1.3
"""Where held-out lessons are foreseen better than members agree: what it was on key-to-door, see `docs/credit.md`."""

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
    groups = [by_length[at : at + _EVALUATED_AT_ONCE] for at in range(0, len(by_length), _EVALUATED_AT_ONCE)]
    batches = [LessonBatch.collate(group) for group in groups]
    states = [predictor.states(batch.features) for batch in batches]  # once for all heads
    _, variance_along = moments([target.values(lesson) for lesson in lessons])
    scale = float(predictor.return_scale)
    return {
        head: _quality(
            [_read(predictor, held, batch, target, head) for held, batch in zip(states, batches, strict=True)],
            float(np.var(late / scale)),
            variance_along / scale**2,
            head,
        )
        for head in heads
    }


def _read(
    predictor: ReturnPredictor, states: Tensor, batch: LessonBatch, target: Target, head: Head
) -> tuple[Losses, Products, Tensor]:
    """Errors of what a head predicts in the mean over its members, how that went with what came, and their variance."""
    read = predictor.heads[head]
    of_members = read(states).cpu()
    doubt = last_valid(of_members, batch.lengths).var(dim=1, correction=min(predictor.members - 1, 1))
    predictions = of_members.mean(dim=2)
    came = _normalised(predictor, target.of(batch)).to(predictions.dtype)
    mask = valid_steps(batch.lengths, came.shape[1])
    bias = cast(Tensor, read.bias).mean().expand(1).cpu()
    errors = _losses(predictions[..., None], bias, came[..., None], mask[..., None], batch.lengths)
    # The outlook is credit's on the way, and is judged there; the share says something at the last step alone.
    judged = mask if head is Head.OUTLOOK else mask & (torch.arange(mask.shape[1]) == batch.lengths[:, None] - 1)
    return errors, _products(predictions.double(), came.double(), judged.double()), doubt


def _products(predicted: Tensor, came: Tensor, judged: Tensor) -> Products:
    weights = judged / judged.sum(dim=1, keepdim=True)
    parts = (predicted, came, predicted * came, predicted.square())
    return Products(*((part * weights).sum(dim=1) for part in parts))


def _quality(
    parts: Sequence[tuple[Losses, Products, Tensor]], variance_last: float, variance_along: float, head: Head
) -> Quality:
    errors, products_of, doubts = zip(*parts, strict=True)
    last, along, excess, _ = (torch.cat(of)[:, 0].double().numpy() for of in zip(*errors, strict=True))
    products = Products(*map(torch.cat, zip(*products_of, strict=True)))
    foreseen = 1.0 - float(along.mean()) / variance_along if head is Head.OUTLOOK else float("nan")
    explained = 1.0 - float(last.mean()) / variance_last
    found = (explained, float(last.mean()), float(along.mean()), foreseen, float(excess.mean()))
    return Quality(*found, *slope(products), doubt=float(torch.cat(doubts).double().mean()))


def slope(products: Products) -> tuple[float, float]:
    """How much comes about of a difference that was predicted, over lessons, and the standard error of that.

    The slope of the line through what came and what was predicted; the lessons vary, not the steps of one, so the error
    is by lessons (the sandwich of White 1980, with a degree of freedom off for slope and mean). Nothing is known, and
    the slope zero, where fewer than three lessons were predicted or nothing different was predicted.
    """
    x, y = products.predicted.mean(), products.came.mean()
    across = products.both - x * products.came - y * products.predicted + x * y
    spread = products.squared - 2.0 * x * products.predicted + x * x
    lessons, total = len(spread), float(spread.sum())
    if lessons < 3 or total <= _ROUNDING * float(products.squared.sum()):
        return 0.0, 0.0
    found = float(across.sum()) / total
    error = float((across - found * spread).square().sum().sqrt()) / total
    return found, error * (lessons / (lessons - 2)) ** 0.5


def differ(values: Array) -> bool:
    """Whether values `[N]` differ by more than the rounding of rewards in float32, which agents are paid in."""
    return len(values) > 1 and float(np.ptp(values)) > _TOLD_APART * float(np.abs(values).max())


def moments(values: Sequence[Array]) -> tuple[float, float]:
    """Mean and variance of what is to be predicted along the lessons, each of which counts alike."""
    mean = float(np.mean([along.mean() for along in values]))
    return mean, float(np.mean([np.square(along - mean).mean() for along in values]))
