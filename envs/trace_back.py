"""Two moves at the beginning decide; all the walking after them does not."""

from __future__ import annotations

import numpy as np

from envs.finite import Earnings, FiniteEnv, FiniteModel
from envs.grid import cells, moves

SIDE, START = 15, (7, 7)
PAY, DISTRACTION = 1.0, 1.0
_UP, _RIGHT = 0, 3
_NONE, _FIRST, _BOTH, _MISSED = range(4)  # how far the two moves have come


def trace_back_model(delay: int) -> FiniteModel:
    """Rules of `TraceBack`; state = 4 * cell + progress."""
    steps, target = delay + 2, moves(SIDE, SIDE)
    cell, progress = np.divmod(np.arange(4 * SIDE * SIDE), 4)
    onwards = np.tile(progress[:, None], 4)
    onwards[progress == _NONE] = np.where(np.arange(4) == _RIGHT, _FIRST, _MISSED)
    onwards[progress == _FIRST] = np.where(np.arange(4) == _UP, _BOTH, _MISSED)
    on_the_way = (np.arange(steps) >= 2) & (np.arange(steps) < steps - 1)
    starts = np.zeros(len(cell))
    starts[4 * (START[0] * SIDE + START[1]) + _NONE] = 1.0
    completes = (progress == _FIRST)[:, None] & (onwards == _BOTH)
    return FiniteModel(
        steps=steps,
        starts=starts,
        next_state=4 * target[cell] + onwards,
        now=Earnings(np.zeros((1, 1, 1)), DISTRACTION * on_the_way[:, None, None]),
        late=Earnings(PAY * completes[None]),
        view=np.column_stack([cells(SIDE, SIDE)[cell] / (SIDE - 1), np.eye(4)[progress]]).astype(np.float32),
        decisive=(np.arange(steps) < 2)[:, None, None],
    )


class TraceBack(FiniteEnv):
    """Trace-Back, after Arjona-Medina et al. 2019 (RUDDER, artificial task III of the main text).

    Rules: 15 x 15 cells, the agent starts in the middle and walks `delay` + 2 steps. Whether its first two moves are
    right and then up decides the reward of the end; the later moves do not matter.

    Observation: `Box(0, 1, (7,))`: row and column by 14; progress as one-hot: no move yet, the first was right, both
    were, missed (4); share of the episode over.
    Action: `Discrete(4)`: up, down, left, right; at the border one stays.
    Reward: at the last step 1 after the right beginning, else 0. Each step between the second and the last pays +1 or
    -1, by a coin; its size is ours, not the paper's.
    Delay: `delay` steps.
    Optimal return: 1 on average.
    Decisive steps: the first two.

    Args:
        delay: steps from the second move to the payment, at least 1.
    """

    def __init__(self, delay: int = 10) -> None:
        if delay < 1:
            raise ValueError(f"the payment needs at least 1 step after the two moves, got a delay of {delay}")
        super().__init__(trace_back_model(delay))
