"""Does the credit land where it belongs? Measured on episodes whose true credit is known."""

from __future__ import annotations

import numpy as np
import torch

from agents.credited import CreditedAgent
from agents.lockstep import Rollout
from agents.statistics import rank_correlation
from envs.finite import FiniteModel, Floats, values
from rudder_lrp.lessons import Lesson, LessonBatch
from rudder_lrp.metrics import credit_fidelity, steps_moved_back


def optimal_credit(model: FiniteModel, rollout: Rollout, epsilon: float) -> Floats:
    """What each step changed in the expected late payment and in all that is to come, `[N, T]`.

    The optimal redistribution of the policy that acts optimally but for a share `epsilon` of random actions, less what
    the step paid at once; the expectation before the first step is its base.
    """
    at = np.arange(model.steps), rollout.states[:, :-1], rollout.actions
    expected = values(model, epsilon).state[np.arange(model.steps + 1), rollout.states]
    late = model.late.expand(model.shape)[0][at]
    return np.diff(expected, axis=1) + late


def decisive_steps(model: FiniteModel, rollout: Rollout) -> np.ndarray:
    """Mask `[N, T]`."""
    at = np.arange(model.steps), rollout.states[:, :-1], rollout.actions
    return np.broadcast_to(model.decisive, model.shape)[at]


def fidelity_report(agent: CreditedAgent, rollout: Rollout, lessons: list[Lesson], epsilon: float) -> dict[str, float]:
    """Numbers about the credit of some episodes, means over those that have anything to measure.

    The credit of a step is its contribution to the prediction. What the prediction misses of the return, and the mean
    return, which no step has earned, are the residual.

    Returns:
        `on_decisive`: share of absolute credit on decisive steps or their neighbours; `rank_correlation` with the
        optimal credit; `steps_moved_back`: how much earlier than what is redistributed its redistribution lies;
        `explained_variance` of the predictor.
    """
    model = agent.env.model
    batch = LessonBatch.collate(lessons)
    with torch.no_grad():
        credit = agent.redistributor.contributions(batch.features, batch.lengths).double().numpy()
    true, decisive = optimal_credit(model, rollout, epsilon), decisive_steps(model, rollout)
    rows = [(credit[at, :n], true[at, :n], decisive[at, :n]) for at, n in enumerate(rollout.lengths)]
    shares = [credit_fidelity(own, mask) for own, _, mask in rows if mask.any()]
    ranks = [rank_correlation(own, known) for own, known, _ in rows]
    moved = [
        steps_moved_back(lesson.rewards, redistributed)
        for lesson, redistributed in zip(lessons, agent.redistributor.redistribute(lessons), strict=True)
    ]
    return {
        "on_decisive": _mean(shares),
        "rank_correlation": _mean(ranks),
        "steps_moved_back": _mean(moved),
        "explained_variance": round(agent.online.quality.explained_variance, 4),
    }


def _mean(numbers: list[float]) -> float:
    known = [number for number in numbers if np.isfinite(number)]
    return round(float(np.mean(known)), 4) if known else float("nan")
