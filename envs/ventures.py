"""Invest at the right moment: the books are closed at the end, and luck has a large say in them."""

from __future__ import annotations

import numpy as np

from envs.finite import Earnings, FiniteEnv, FiniteModel

CALM, BOOM, BUST = range(3)
MEAN, LUCK, SLIP = np.array([0.5, 4.0, -3.0]), 4.0, 0.1


def ventures_model(steps: int) -> FiniteModel:
    """Rules of `Ventures`; states: calm, boom, bust; actions: wait, invest."""
    late = np.stack([np.zeros(3), MEAN], axis=1)[None]
    return FiniteModel(
        steps=steps,
        starts=np.full(3, 1.0 / 3.0),
        next_state=np.array([[BOOM, CALM], [BUST, CALM], [CALM, CALM]]),
        now=Earnings(np.zeros((1, 1, 1))),
        late=Earnings(late, np.where(late != 0.0, LUCK, 0.0)),
        view=np.eye(3, dtype=np.float32),
        decisive=late != 0.0,
        slip=SLIP,
    )


class Ventures(FiniteEnv):
    """A task whose late payment is largely luck, for credit that no choice was made with.

    Rules: the market is calm, booms or is bust. It goes from calm to boom to bust to calm while one waits; an
    investment calms it. One action in ten is replaced by a random one.

    Observation: `Box(0, 1, (4,))`: calm, boom, bust; share of the episode over.
    Action: `Discrete(2)`: 0 wait, 1 invest.
    Reward: an investment earns 0.5 when calm, 4 in a boom and -3 in a bust, 4 more or less by a coin; all of it is
    paid at the last step, and nothing is seen of it before.
    Delay: up to `steps` - 1 steps.
    Optimal return: by backward induction, 28.35 for 16 steps.
    Decisive steps: investments.

    Args:
        steps: length of an episode.
    """

    def __init__(self, steps: int = 16) -> None:
        super().__init__(ventures_model(steps))
