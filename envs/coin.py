"""A coin on a line, and a reward for standing on it that comes at the end."""

from __future__ import annotations

import numpy as np

from envs.finite import Earnings, FiniteEnv, FiniteModel

POSITIONS, START, COIN, STEPS = 13, 7, 9, 50


def coin_model() -> FiniteModel:
    """Rules of `Coin`; the state is the position."""
    target = (np.arange(POSITIONS)[:, None] + [-1, 1]).clip(0, POSITIONS - 1)
    return FiniteModel(
        steps=STEPS,
        starts=(np.arange(POSITIONS) == START).astype(np.float64),
        next_state=target,
        now=Earnings(np.zeros((1, 1, 1))),
        late=Earnings((target == COIN).astype(np.float64)[None]),
        view=np.eye(POSITIONS, dtype=np.float32),
        decisive=(target == COIN)[None],
    )


class Coin(FiniteEnv):
    """The 1-D coin.

    Rules: 13 positions, 0 to 12, in a row; the agent starts at 7 and the coin lies at 9. Each of the 50 steps moves
    one to the left or to the right; at the ends the agent stays where it is.

    Observation: `Box(0, 1, (14,))`: the position as one-hot (13) and the share of the episode that is over (1).
    Action: `Discrete(2)`: 0 left, 1 right.
    Reward: at the last step, the number of steps after which the agent stood on the coin; else 0.
    Delay: up to 49 steps.
    Optimal return: 25: there after two steps, and back after every second one, since no move stays on the coin.
    Decisive steps: those that end on the coin.
    """

    def __init__(self) -> None:
        super().__init__(coin_model())
