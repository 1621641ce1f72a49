"""Fit a return predictor on lessons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.prediction.denormals import flushed_denormals
from rudder_lrp.prediction.predictor import Head, ReturnPredictor
from rudder_lrp.prediction.quality import Losses, Quality, differ, evaluate, losses, moments
from rudder_lrp.prediction.subsets import Subsets
from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig, offline

_OUTLOOK_TRUSTED = 0.5  # from which on the outlook's changes are more than noise, if they say anything at all:
_LEAST_FORESEEN = 0.05  # explained variance along the way
_LEAST_VARIANCE = 1e-3  # so that a late reward that hardly varies yet does not outweigh everything


def subsets_error(predictor: ReturnPredictor, subsets: Subsets, sums: Tensor) -> Tensor:
    """Error of the mean share of the steps drawn, in the mean over episodes and the sum over members.

    Args:
        predictor: one whose predictions are sums over the steps.
        subsets: steps of B episodes.
        sums: of what all steps of each episode earn, in units of the predictor's normalisation, `[B]`.
    """
    of_members = predictor.member_changes(subsets.features, Head.SHARE).cpu().unbind(dim=2)
    return torch.stack([subsets.mean_error(rewards, sums).mean() for rewards in of_members]).sum()


class Trainer:
    """Updates one predictor, call after call, and keeps its optimizer.

    Args:
        predictor: trained in place.
        config: see `TrainingConfig`.
    """

    def __init__(self, predictor: ReturnPredictor, config: TrainingConfig | None = None) -> None:
        self.predictor = predictor
        self.config = config or TrainingConfig()
        self.rounds = 0
        """Of training so far."""
        self._begin()

    def _begin(self) -> None:
        self._weights = [weight for weight in self.predictor.parameters() if weight.requires_grad]
        rate, decay = self.config.learning_rate, self.config.weight_decay
        # Fused, for the weights are few and small, and most of an update would be the calls.
        self.optimizer = torch.optim.Adam(self._weights, lr=rate, weight_decay=decay, fused=True)

    def nothing_to_predict(self, lessons: LessonBuffer) -> str | None:
        """A sentence that says why no lesson differs from the others, if that is so."""
        if differ(np.concatenate([self.config.target.values(lesson) for lesson in lessons.training] or [np.zeros(1)])):
            return None
        returns = {lesson.episode_return for lesson in lessons.training}
        last = lessons.training[0].outstanding[-1] if lessons.training else 0.0
        if not differ(np.array(list(returns))):
            return (
                f"all {len(lessons)} lessons have the same return ({returns.pop() if returns else 'none at all'}): "
                "there is nothing to predict; collect lessons with different returns, say with more exploration"
            )
        return (
            f"all {len(lessons)} lessons have the same last reward ({last}): no reward comes late enough to "
            "predict; collect lessons with more exploration, or where rewards on the way are late too, set the target "
            "of the training to 'outstanding'"
        )

    @plain_torch()
    def train(self, lessons: LessonBuffer) -> Quality:
        """Do a round of gradient steps on the training part; return the quality on the held-out part.

        Raises:
            ValueError: if there is nothing to predict.
        """
        if nothing := self.nothing_to_predict(lessons):
            raise ValueError(nothing)
        with flushed_denormals():
            if self.config.subset:
                self._learn_from_subsets(lessons.training)
            else:
                self._learn(lessons)
        heads = self.config.predicts.heads
        quality = self._choose_head(evaluate(self.predictor, lessons.held_out, self.config.target, heads))
        self.predictor.calibration.fill_(quality.calibration)
        return quality

    def _learn(self, lessons: LessonBuffer) -> None:
        config, variance_last = self.config, self._normalise(lessons)
        if config.kept < 1.0 and self.rounds:
            self._perturb()
        self.rounds += 1
        batches = lessons.batches(config.updates, config.batch_size, config.batch_steps)
        generator = torch.Generator().manual_seed(int(self.predictor.seed) + self.rounds)
        for number, chosen in enumerate(batches):
            left = 1.0 - number / len(batches) if config.kept < 1.0 else 1.0
            self.optimizer.param_groups[0]["lr"] = left * config.learning_rate
            batch = LessonBatch.collate([lessons.training[index] for index in chosen])
            self._update(self._noisy(batch, generator), variance_last)

    def _noisy(self, batch: LessonBatch, generator: torch.Generator) -> LessonBatch:
        if not self.config.noise:
            return batch
        spread = self.config.noise * self.predictor.normalizer.variance.sqrt().float().cpu()
        return batch._replace(features=batch.features + spread * torch.randn(batch.features.shape, generator=generator))

    def _learn_from_subsets(self, lessons: Sequence[Lesson]) -> None:
        config, self.rounds = self.config, self.rounds + 1
        late = np.array([lesson.outstanding[-1] for lesson in lessons])
        # In units of what a step earns; the mean belongs to the steps, too.
        self.predictor.rescale_(0.0, float(late.std() / np.mean([len(lesson) for lesson in lessons])))
        rng = np.random.default_rng([int(self.predictor.seed), self.rounds])
        for chosen in rng.integers(len(lessons), size=(config.updates, config.batch_size)):
            subsets = Subsets.draw([lessons[index] for index in chosen], config.subset, rng)
            sums = torch.from_numpy(late[chosen]).float() / self.predictor.return_scale.float()
            self._descend(subsets_error(self.predictor, subsets, sums))

    def _perturb(self) -> None:
        """Begin a round: mix the weights with fresh ones, and forget the optimizer's moments."""
        learnt = [weight.detach().clone() for weight in self.predictor.parameters()]
        self.predictor.reset_(self.rounds)
        with torch.no_grad():
            for fresh, old in zip(self.predictor.parameters(), learnt, strict=True):
                fresh.lerp_(old, self.config.kept)
        self._begin()

    def _choose_head(self, qualities: dict[Head, Quality]) -> Quality:
        """Predict with the outlook if it is worth it, else with the share; return the quality of that."""
        if self.config.predicts is Predicts.BOTH:
            qualities |= {Head.SHARE: self._level_share(qualities[Head.SHARE])}
        outlook = qualities.get(Head.OUTLOOK)
        foreseen = outlook is not None and outlook.q > _OUTLOOK_TRUSTED and outlook.foreseen > _LEAST_FORESEEN
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

    def _update(self, batch: LessonBatch, variance_last: float) -> None:
        errors = losses(self.predictor, batch, self.config.target, self.config.predicts.heads)
        # The sum over members, so that each learns as it would alone.
        self._descend(self._loss(errors, variance_last).mean(dim=0).sum())

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        most = self.config.max_gradient_norm * self.predictor.members**0.5
        nn.utils.clip_grad_norm_(self._weights, most)
        self.optimizer.step()
        self.predictor.constrain_()

    def _loss(self, errors: dict[Head, Losses], variance_last: float) -> Tensor:
        # Both errors count as shares of what there is to explain: a late reward may be small beside the early ones.
        loss = _mean([of_head.last for of_head in errors.values()]) / variance_last
        if Head.OUTLOOK in errors:
            loss = loss + self.config.along_weight * errors[Head.OUTLOOK].along
        if weight := self.config.variation_weight:
            variation = _mean([of_head.variation for of_head in errors.values()])
            loss = loss + weight * variation / variance_last**0.5
        return loss


def _mean(of_heads: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(of_heads)).mean(dim=0)


def gathered(predictor: ReturnPredictor, lessons: Sequence[Lesson], seed: int = 0) -> LessonBuffer:
    """A buffer that keeps all of these lessons, every fifth of them held out; the normalisation learns of them.

    Args:
        predictor: whose normalisation of the features they update.
        lessons: all there are.
        seed: of what is held out, and of the draws.
    """
    buffer = LessonBuffer(max(len(lessons), 2), holdout_capacity=max(len(lessons), 1), seed=seed)
    for lesson in lessons:
        buffer.add(lesson)
        predictor.normalizer.update(lesson.features)
    return buffer


@plain_torch()
def fit(
    predictor: ReturnPredictor,
    lessons: LessonBuffer | Sequence[Episode],
    config: TrainingConfig | None = None,
) -> Quality:
    """Train a predictor on lessons, every fifth of them held out, and return its quality on those.

    Episodes update the normalisation of the features first.

    Args:
        predictor: trained in place.
        lessons: all there are.
        config: how they are learnt from; as suits their number, unless given.

    Raises:
        ValueError: if all lessons have the same return.
    """
    if not isinstance(lessons, LessonBuffer):
        lessons = gathered(predictor, [Lesson.from_episode(episode, predictor.features) for episode in lessons])
    number = len(lessons.training) + len(lessons.held_out)
    return Trainer(predictor, config or offline(number)).train(lessons)
