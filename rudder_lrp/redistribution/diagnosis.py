"""Is the credit any good? One report of numbers for the logs, one timeline of an episode for the eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rudder_lrp.episodes.episode import Array
from rudder_lrp.episodes.features import TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.episodes.timeline import NOT_FEATURES, Timeline
from rudder_lrp.lrp.sequences import last_valid
from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.redistribution.base import PredictorRedistributor, Redistributor
from rudder_lrp.redistribution.credit_map import credit_map
from rudder_lrp.redistribution.metrics import steps_moved_back
from rudder_lrp.redistribution.uncertainty import shrunk


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


@plain_torch()
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


@plain_torch()
def timeline(redistributor: Redistributor, lesson: Lesson) -> Timeline:
    """All that is worth drawing of one episode; without a predictor, the features of a step are one."""
    batch = LessonBatch.collate([lesson])
    with torch.no_grad():
        predictions = redistributor.predictions(batch.features, batch.lengths)[0].numpy()
    (redistributed,), (uncertainty,) = redistributor.redistribute([lesson], return_uncertainty=True)
    names, rows = _sources(redistributor, lesson, redistributed)
    return Timeline(
        rewards=lesson.rewards,
        redistributed=redistributed,
        predictions=predictions + np.cumsum(redistributor.kept(lesson)),
        relevance=rows,
        feature_names=names,
        actions=_actions(redistributor.features, lesson.features),
        images=_images(redistributor.features, lesson.features, rows),
        uncertainty=uncertainty if uncertainty.any() else None,
    )


def _sources(redistributor: Redistributor, lesson: Lesson, credit: Array) -> tuple[list[str], Array]:
    """What the credit of each step consists of: the features, and all that is none, `[T, F + 5]`.

    Without a predictor the features of a step earn together, and there is one row, `[T, 1]`.
    """
    if not isinstance(redistributor, PredictorRedistributor):
        return ["step"], credit[:, None]
    batch = LessonBatch.collate([lesson])
    parts = credit_map(redistributor, batch.features, batch.lengths)
    parts = parts.weighted(_handed_out(redistributor, batch))
    expected = np.zeros(len(lesson))
    expected[0] = redistributor.predictor.expected_return
    known = np.column_stack(
        [
            parts.features[0].double().numpy(),
            parts.memory[0].double().numpy(),
            parts.bias[0].double().numpy(),
            lesson.paid,
            expected,
        ]
    )
    names = [*redistributor.predictor.input_names, *NOT_FEATURES]
    return names, np.column_stack([known, credit - known.sum(axis=1)])


@torch.no_grad()
def _handed_out(redistributor: PredictorRedistributor, batch: LessonBatch) -> Tensor:
    """Share of each contribution `[B, T]` that is handed out; what the predictor's members do not agree on is not."""
    contributions = redistributor.contributions(batch.features, batch.lengths).double()
    handed = shrunk(contributions, redistributor.deviation(batch.features, batch.lengths))
    return torch.where(contributions == 0.0, torch.zeros_like(handed), handed / contributions)


def _actions(encoding: TransitionFeatures, features: Array) -> list[str]:
    """The action of each step in words: the name of what was chosen, or the numbers."""
    columns = [at for at, name in enumerate(encoding.names) if name.startswith("action")]
    names = [encoding.names[at].removeprefix("action") for at in columns]
    if any("=" in name for name in names):
        return [
            " ".join(name.lstrip("=") for name, on in zip(names, row[columns], strict=True) if on) for row in features
        ]
    return [" ".join(f"{value:+.2g}" for value in row[columns][:4]) for row in features]


def _images(encoding: TransitionFeatures, features: Array, relevance: Array) -> list[tuple[Array, Array]]:
    """Of each image of the observation, the grid `[T, rows, columns]` of its brightness and that of its relevance."""
    found = []
    for image in encoding.images:
        grids = [relevance[:, start : start + int(np.prod(image.shape))] for start in image.starts]
        seen = features[:, image.starts[0] : image.starts[0] + int(np.prod(image.shape))]
        shape = len(features), *image.shape
        found.append((seen.reshape(shape).mean(axis=3), np.sum(grids, axis=0).reshape(shape).sum(axis=3)))
    return found
