"""Is the credit any good? One report of numbers for the logs, one timeline of an episode for the eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rudder_lrp.episodes.episode import Array
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.lrp.sequences import last_valid
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import LRPRedistributor, PredictorRedistributor, Redistributor
from rudder_lrp.viewing.metrics import steps_moved_back
from rudder_lrp.viewing.tensorboard import Timeline


def relevance_leak(redistributor: Redistributor, batch: LessonBatch) -> float:
    """Relevance that did not reach the steps, as a share of what there was to explain.

    Every redistribution explains the last prediction without what was expected before the first step; what its
    contributions miss of that (or exceed it by), summed over the episodes as absolute values, is the leak.
    """
    with torch.no_grad():
        contributions = redistributor.contributions(batch.features, batch.lengths).sum(dim=1)
        predictions = last_valid(redistributor.predictions(batch.features, batch.lengths), batch.lengths)
        explained = predictions - redistributor.expected_return
    return float((contributions - explained).abs().sum() / explained.abs().sum().clamp_min(1e-12))


def credit_report(redistributor: Redistributor, lessons: Sequence[Lesson]) -> dict[str, float]:
    """Numbers that say what the redistribution does to these episodes, by name.

    Returns:
        `true_return` and `predicted_return` (means), `residual` (mean absolute reward left to the last step or
        spread), `relevance_leak` (share), `steps_moved_back` (mean).
    """
    batch = LessonBatch.collate(lessons)
    with torch.no_grad():
        predicted = last_valid(redistributor.predictions(batch.features, batch.lengths), batch.lengths)
        contributed = redistributor.contributions(batch.features, batch.lengths).sum(dim=1)
    kept = torch.tensor([redistributor.kept(lesson).sum() for lesson in lessons])
    missed = batch.returns - kept - redistributor.expected_return - contributed
    rewards = redistributor.redistribute(lessons)
    moved = [steps_moved_back(lesson.rewards, new) for lesson, new in zip(lessons, rewards, strict=True)]
    return {
        "true_return": float(batch.returns.mean()),
        "predicted_return": float((kept + predicted).mean()),
        "residual": float(missed.abs().mean()),
        "relevance_leak": relevance_leak(redistributor, batch),
        "steps_moved_back": float(np.mean(moved)),
    }


def feature_relevance(predictor: ReturnPredictor, lesson: Lesson) -> Array:
    """LRP relevance `[T, F + 1]` of features and clock for what is predicted to be outstanding at the end."""
    batch = LessonBatch.collate([lesson])
    explanation = LRPRedistributor(predictor).explain(batch.features, batch.lengths)
    return (predictor.return_scale * explanation.inputs)[0].numpy()


def timeline(redistributor: Redistributor, lesson: Lesson) -> Timeline:
    """All that is worth drawing of one episode; without a predictor, the features of a step are one."""
    batch = LessonBatch.collate([lesson])
    with torch.no_grad():
        predictions = redistributor.predictions(batch.features, batch.lengths)[0].numpy()
        relevance, names = redistributor.contributions(batch.features, batch.lengths)[0].numpy()[:, None], ["step"]
    if isinstance(redistributor, PredictorRedistributor):
        relevance, names = feature_relevance(redistributor.predictor, lesson), redistributor.predictor.input_names
    return Timeline(
        rewards=lesson.rewards,
        redistributed=redistributor.redistribute([lesson])[0],
        predictions=predictions + np.cumsum(redistributor.kept(lesson)),
        relevance=relevance,
        feature_names=names,
    )
