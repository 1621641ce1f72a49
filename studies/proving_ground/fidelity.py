"""Does the credit land where it belongs? Measured on episodes whose true credit is known."""

from __future__ import annotations

import numpy as np

from agents.tabular.credits import Credit, paid_on_the_way
from agents.tabular.lockstep import Rollout
from agents.tabular.oracle import optimal_credit
from envs.finite import FiniteModel
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.redistribution.metrics import credit_fidelity, rank_correlation, steps_moved_back


def decisive_steps(model: FiniteModel, rollout: Rollout) -> np.ndarray:
    """Mask `[N, T]`."""
    at = np.arange(model.steps), rollout.states[:, :-1], rollout.taken
    return np.broadcast_to(model.decisive, model.shape)[at]


def fidelity_report(
    model: FiniteModel, source: Credit, rollout: Rollout, lessons: list[Lesson], epsilon: float
) -> dict[str, float]:
    """Numbers about the credit of some episodes, means over those that have anything to measure.

    The credit of a step is its contribution to the prediction. What the prediction misses of the return, and the mean
    return, which no step has earned, are the residual.

    Returns:
        `on_decisive`: share of absolute credit on decisive steps or their neighbours; `rank_correlation` with the
        optimal credit; `steps_moved_back`: how much earlier than what is redistributed its redistribution lies;
        `explained_variance` of the predictor.
    """
    credit = source.contributions(rollout, lessons)
    redistributed = source.redistribute(rollout, lessons) - paid_on_the_way(rollout)
    true, decisive = optimal_credit(model, rollout, epsilon), decisive_steps(model, rollout)
    rows = [(credit[at, :n], true[at, :n], decisive[at, :n]) for at, n in enumerate(rollout.lengths)]
    shares = [credit_fidelity(own, mask) for own, _, mask in rows if mask.any()]
    ranks = [rank_correlation(own, known) for own, known, _ in rows]
    moved = [
        steps_moved_back(lesson.rewards, row[: len(lesson)]) for lesson, row in zip(lessons, redistributed, strict=True)
    ]
    return {
        "on_decisive": _mean(shares),
        "rank_correlation": _mean(ranks),
        "steps_moved_back": _mean(moved),
        "explained_variance": round(source.explained_variance, 4),
    }


def _mean(numbers: list[float]) -> float:
    known = [number for number in numbers if np.isfinite(number)]
    return round(float(np.mean(known)), 4) if known else float("nan")
