"""Statistics that stand on few runs: interquartile means, stratified bootstrap, probability of improvement.

After Agarwal et al. 2021 (Deep Reinforcement Learning at the Edge of the Statistical Precipice).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[NDArray[np.float64]]
"""Scores of the runs, one array a task."""


class Interval(NamedTuple):
    """An estimate with its 95 % confidence interval."""

    estimate: float
    low: float
    high: float


def interquartile_mean(scores: Scores) -> float:
    """Mean of the middle half of all runs; a run at the border of that half counts for the part inside."""
    pooled = np.sort(np.concatenate(list(scores)))
    ranks = np.arange(len(pooled))
    low, high = len(pooled) / 4, 3 * len(pooled) / 4
    weights = (np.minimum(ranks + 1, high) - np.maximum(ranks, low)).clip(min=0.0)
    return float((pooled * weights).sum() / weights.sum())


def stratified_bootstrap(
    statistic: Callable[[Scores], float], scores: Scores, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of a statistic, runs drawn with replacement within each task."""
    rng = np.random.default_rng(seed)
    drawn = [statistic([rng.choice(task, len(task)) for task in scores]) for _ in range(resamples)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(statistic(scores), float(low), float(high))


def probability_of_improvement(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Probability that a run of ours is better than one of theirs, higher being better and ties half."""
    better, equal = np.greater.outer(ours, theirs), np.equal.outer(ours, theirs)
    return float(np.mean(better + 0.5 * equal))
