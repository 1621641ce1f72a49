"""Numbers that say what a redistribution did to the rewards of an episode."""

from __future__ import annotations

import numpy as np

from rudder_lrp.episodes.episode import Array


def mean_credit_step(rewards: Array) -> float:
    """Where in time the reward of an episode `[T]` lies: the mean step, weighted by the rewards' absolute values.

    Without any reward it is the last step.
    """
    weights = np.abs(rewards)
    total = weights.sum()
    return float((np.arange(len(rewards)) * weights).sum() / total) if total > 0 else float(len(rewards) - 1)


def steps_moved_back(original: Array, redistributed: Array) -> float:
    """How many steps earlier the redistributed reward lies than the original one, both `[T]`."""
    return mean_credit_step(original) - mean_credit_step(redistributed)


def credit_fidelity(rewards: Array, decisive: Array, tolerance: int = 1) -> float:
    """Share of the absolute reward that lies on decisive steps or within `tolerance` steps of one.

    Args:
        rewards: `[T]`.
        decisive: mask `[T]`, true on the steps that deserve the credit.
        tolerance: how many steps off still counts.
    """
    spread = np.convolve(np.asarray(decisive, dtype=np.float64), np.ones(2 * tolerance + 1))
    near = spread[tolerance : tolerance + len(rewards)] > 0
    total = np.abs(rewards).sum()
    return float(np.abs(rewards)[near].sum() / total) if total > 0 else 0.0


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's rank correlation, ties sharing their mean rank; NaN if one side does not vary."""
    ours, theirs = _ranks(first), _ranks(second)
    if np.ptp(ours) == 0.0 or np.ptp(theirs) == 0.0:
        return float("nan")
    return float(np.corrcoef(ours, theirs)[0, 1])


def _ranks(values: Array) -> Array:
    _, group, counts = np.unique(values.round(9), return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return (ends - (counts - 1) / 2)[group]
