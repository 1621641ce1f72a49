"""One choice at the beginning, then a long way with rewards that have nothing to do with it."""

from __future__ import annotations

import numpy as np

from envs.finite import Earnings, FiniteEnv, FiniteModel

LURE, PATIENCE, DISTRACTION = 1.0, 2.0, 1.0


def choice_model(delay: int) -> FiniteModel:
    """Rules of `Choice`; states: before the choice, after the lure, after patience."""
    steps, on_the_way = delay + 1, (np.arange(delay + 1) > 0) & (np.arange(delay + 1) < delay)
    chosen = np.zeros((steps, 3, 2))
    chosen[0, 0] = 1.0
    return FiniteModel(
        steps=steps,
        starts=np.array([1.0, 0.0, 0.0]),
        next_state=np.array([[1, 2], [1, 1], [2, 2]]),
        now=Earnings(chosen * [LURE, 0.0], DISTRACTION * on_the_way[:, None, None]),
        late=Earnings(chosen * [0.0, PATIENCE]),
        view=np.eye(3, dtype=np.float32),
        decisive=chosen > 0,
    )


class Choice(FiniteEnv):
    """The Choice, after Arjona-Medina et al. 2019 (RUDDER, artificial task II).

    Rules: the first action chooses between a lure (0) and patience (1); the `delay` actions that follow do nothing.

    Observation: `Box(0, 1, (4,))`: not chosen yet, lure, patience as one-hot; share of the episode over.
    Action: `Discrete(2)`.
    Reward: the lure pays 1 at once; patience pays 2 at the last step. Each step in between pays +1 or -1, by
    a coin; its size is ours, not the paper's.
    Delay: `delay` steps.
    Optimal return: 2 on average.
    Decisive steps: step 0.

    Args:
        delay: steps from the choice to its payment, at least 1.
    """

    def __init__(self, delay: int = 100) -> None:
        if delay < 1:
            raise ValueError(f"the payment needs at least 1 step after the choice, got a delay of {delay}")
        super().__init__(choice_model(delay))
