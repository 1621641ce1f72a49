"""The true credit of a task whose rules are known."""

from __future__ import annotations

import numpy as np

from agents.tabular.credits import Credit
from agents.tabular.lockstep import Rollout
from envs.finite import FiniteModel, Floats, last_payment
from rudder_lrp.episodes.lessons import Lesson


class OracleCredit(Credit):
    """The optimal redistribution, from the rules of the task.

    Args:
        model: the rules.
        epsilon: share of random actions of the policy whose expectation it is, else optimal.
    """

    def __init__(self, model: FiniteModel, epsilon: float) -> None:
        self.model, self.epsilon = model, epsilon

    def contributions(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """See `optimal_credit`."""
        return optimal_credit(self.model, rollout, self.epsilon)

    def expected(self, rollout: Rollout) -> Floats:
        """See `Credit.expected`."""
        return last_payment(self.model, self.epsilon)[0, rollout.states[:, 0]]


def optimal_credit(model: FiniteModel, rollout: Rollout, epsilon: float) -> Floats:
    """What each step changed in the expected payment of the last step, `[N, T]`; zero beyond the end.

    The differences of `E[payment | steps up to t]` (Arjona-Medina et al. 2019, theorem 2) for the policy that acts
    optimally but for a share `epsilon` of random actions; the expectation before the first step is their base. What the
    payment then adds or takes by chance is nobody's credit.
    """
    steps = np.arange(model.steps)
    at = steps, rollout.states[:, :-1], rollout.taken
    now, late = (earnings.expand(model.shape)[0][at] for earnings in (model.now, model.late))
    expected = last_payment(model, epsilon)[np.arange(model.steps + 1), rollout.states]
    credit = np.diff(expected, axis=1) + late + np.where(steps == rollout.lengths[:, None] - 1, now, 0.0)
    return np.where(steps < rollout.lengths[:, None], credit, 0.0)
