"""Is the credit any good? One report of numbers for the logs, one timeline of an episode for the eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rudder_lrp.episodes.episode import Array
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.lrp.sequences import last_valid
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import LRPRedistributor, Redistributor
from rudder_lrp.viewing.metrics import steps_moved_back
from rudder_lrp.viewing.tensorboard import Timeline


def relevance_leak(redistributor: Redistributor, batch: LessonBatch) -> float:
    """Relevance that did not reach the steps, as a share of what there was to explain.

    Every redistribution explains `scale * (y_T - b)`, the prediction without the readout's bias b; what its
    contributions miss of that (or exceed it by), summed over the episodes as absolute values, is the leak.
    """
    predictor = redistributor.predictor
    with torch.no_grad():
        contributions = redistributor.contributions(batch.features, batch.lengths).sum(dim=1)
        predictions = last_valid(predictor(batch.features), batch.lengths)
        explained = predictor.return_scale * (predictions - predictor.readout.bias)
    return float((contributions - explained).abs().sum() / explained.abs().sum().clamp_min(1e-12))


def credit_report(redistributor: Redistributor, lessons: Sequence[Lesson]) -> dict[str, float]:
    """Numbers that say what the redistribution does to these episodes, by name.

    Returns:
        `true_return` and `predicted_return` (means), `residual` (mean absolute reward left to the last step or
        spread), `relevance_leak` (share), `steps_moved_back` (mean).
    """
    batch = LessonBatch.collate(lessons)
    predictor = redistributor.predictor
    with torch.no_grad():
        predicted = predictor.in_return_units(last_valid(predictor(batch.features), batch.lengths))
        contributed = redistributor.contributions(batch.features, batch.lengths).sum(dim=1)
    outstanding = last_valid(batch.outstanding, batch.lengths)
    rewards = redistributor.redistribute(lessons)
    moved = [steps_moved_back(lesson.rewards, new) for lesson, new in zip(lessons, rewards, strict=True)]
    return {
        "true_return": float(batch.returns.mean()),
        "predicted_return": float((batch.returns - outstanding + predicted).mean()),
        "residual": float((outstanding - predictor.expected_return - contributed).abs().mean()),
        "relevance_leak": relevance_leak(redistributor, batch),
        "steps_moved_back": float(np.mean(moved)),
    }


def feature_relevance(predictor: ReturnPredictor, lesson: Lesson) -> Array:
    """LRP relevance `[T, F + 1]` of features and clock for what is predicted to be outstanding at the end."""
    batch = LessonBatch.collate([lesson])
    explanation = LRPRedistributor(predictor).explain(batch.features, batch.lengths)
    return (predictor.return_scale * explanation.inputs)[0].numpy()


def timeline(redistributor: Redistributor, lesson: Lesson) -> Timeline:
    """All that is worth drawing of one episode."""
    predictor = redistributor.predictor
    batch = LessonBatch.collate([lesson])
    with torch.no_grad():
        predictions = predictor.in_return_units(predictor(batch.features))[0]
    return Timeline(
        rewards=lesson.rewards,
        redistributed=redistributor.redistribute([lesson])[0],
        predictions=predictions.numpy() + np.cumsum(lesson.paid),
        relevance=feature_relevance(predictor, lesson),
        feature_names=predictor.input_names,
    )
