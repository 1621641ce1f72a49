"""Fit a return predictor on lessons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.prediction.predictor import Head, ReturnPredictor
from rudder_lrp.prediction.quality import Losses, Quality, Target, evaluate, losses, moments
from rudder_lrp.torch_mode import plain_torch

_FORESEEN_ENOUGH = 0.2  # explained variance of the outlook, from which on its changes are more than noise
_LEAST_VARIANCE = 1e-3  # so that a late reward that hardly varies yet does not outweigh everything


class Predicts(StrEnum):
    """Which heads a predictor is trained with, and so what a step's credit is."""

    OUTLOOK = "outlook"
    """A step earns what it changed in the outlook. Where a step's reward is to be its action's value, as in direct Q
    estimation (Arjona-Medina et al. 2019, section 3), nothing else will do."""
    SHARE = "share"
    """A step earns its share of the return."""
    BOTH = "both"
    """The outlook, as long as enough of it is foreseen on held-out lessons; else the share. Where all episodes of a
    policy return nearly the same, the outlook hardly changes, and what is left of it is the predictor's noise."""

    @property
    def heads(self) -> tuple[Head, ...]:
        """Those that are trained."""
        return tuple(Head) if self is Predicts.BOTH else (Head(self.value),)


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
    predicts: Predicts = Predicts.BOTH
    """What a step's credit is: outlook, share, or both, whichever the lessons bear out."""
    along_weight: float = 0.5
    """Weight of the outlook's error along the way, beside the one at the last step."""
    variation_weight: float = 0.0
    """Weight of the total variation of an episode's predictions, in standard deviations of what comes last.

    Credit is the change of the prediction, so this asks for an explanation with little credit in all: what tells
    nothing, such as a distraction, earns nothing. Where steps rightly earn in both directions it costs true credit."""
    target: Target = Target.LAST
    """What of the return is predicted."""
    max_gradient_norm: float = 1.0
    """Gradients are clipped to this norm."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "predicts", Predicts(self.predicts))
        object.__setattr__(self, "target", Target(self.target))


DEFAULT_TRAINING = TrainingConfig()
"""One round of a predictor that learns on the way, on-policy."""


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

    @plain_torch()
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
        return self._choose_head(evaluate(self.predictor, lessons.held_out, config.target, config.predicts.heads))

    def _choose_head(self, qualities: dict[Head, Quality]) -> Quality:
        """Predict with the outlook if it is worth it, else with the share; return the quality of that."""
        if self.config.predicts is Predicts.BOTH:
            qualities |= {Head.SHARE: self._level_share(qualities[Head.SHARE])}
        outlook = qualities.get(Head.OUTLOOK)
        foreseen = outlook is not None and outlook.foreseen > _FORESEEN_ENOUGH
        head = Head.OUTLOOK if foreseen or Head.SHARE not in qualities else Head.SHARE
        self.predictor.read_with_(head)
        return qualities[head] if outlook is None else qualities[head]._replace(foreseen=outlook.foreseen)

    def _level_share(self, quality: Quality) -> Quality:
        """Take the mean error on held-out lessons out of the share: it is one constant, which no step has earned.

        Only where the share stands in for the outlook. A mean error takes lessons to be known, and replay begins with
        few: without it, two lessons that happen to agree would pass for a good explanation.
        """
        if not quality.excess:
            return quality
        with torch.no_grad():
            cast(Tensor, self.predictor.heads[Head.SHARE].bias).sub_(quality.excess)
        left = quality.loss_last - quality.excess**2
        unexplained = (1.0 - quality.explained_variance) * left / quality.loss_last
        return quality._replace(explained_variance=1.0 - unexplained, loss_last=left, excess=0.0)

    def _normalise(self, lessons: LessonBuffer) -> float:
        """Normalise the target along the way; return the normalised variance of the one at the last step."""
        values = [self.config.target.values(lesson) for lesson in lessons.training]
        mean, variance = moments(values)
        self.predictor.rescale_(mean, variance**0.5)
        return max(float(np.var([along[-1] for along in values])) / variance, _LEAST_VARIANCE)

    def _update(self, batch: LessonBatch, variance_last: float) -> Tensor:
        errors = losses(self.predictor, batch, self.config.target, self.config.predicts.heads)
        self.optimizer.zero_grad()
        self._loss(errors, variance_last).mean().backward()
        nn.utils.clip_grad_norm_(self.predictor.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        self.predictor.constrain_()
        return errors[self.config.predicts.heads[-1]].last.detach()  # the share's, where there are both

    def _loss(self, errors: dict[Head, Losses], variance_last: float) -> Tensor:
        # Both errors count as shares of what there is to explain: a late reward may be small beside the early ones.
        loss = _mean([of_head.last for of_head in errors.values()]) / variance_last
        if Head.OUTLOOK in errors:
            loss = loss + self.config.along_weight * errors[Head.OUTLOOK].along
        if self.config.variation_weight:
            variation = _mean([of_head.variation for of_head in errors.values()])
            loss = loss + self.config.variation_weight * variation / variance_last**0.5
        return loss


def _mean(of_heads: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(of_heads)).mean(dim=0)


@plain_torch()
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
