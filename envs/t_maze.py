"""A sign at the beginning of a corridor says where to turn at its end."""

from __future__ import annotations

import numpy as np

from envs.finite import Earnings, FiniteEnv, FiniteModel

REWARD, PENALTY = 4.0, -0.1
_UP, _DOWN, _LEFT, _RIGHT = range(4)


def t_maze_model(length: int, slack: int) -> FiniteModel:
    """Rules of `TMaze`; state = 2 * place + sign, the last two being the end."""
    place, sign = np.divmod(np.arange(2 * (length + 2)), 2)
    end = place == length + 1
    junction = place == length
    target = np.tile(place[:, None], 4)
    target[~end, _LEFT] = (place[~end] - 1).clip(0)
    target[~end, _RIGHT] = (place[~end] + 1).clip(max=length)
    target[junction, :2] = length + 1
    pay = np.zeros((1, len(place), 4))
    pay[0, junction, :2] = np.where(sign[junction, None] == np.arange(2), REWARD, PENALTY)
    view = np.column_stack(
        [(place == 0) & (sign == at) for at in range(2)] + [place.clip(max=length) / length, junction]
    )
    return FiniteModel(
        steps=length + 1 + slack,
        starts=(place == 0) / 2.0,
        next_state=2 * target + sign[:, None],
        now=Earnings(pay),
        late=Earnings(np.zeros((1, 1, 1))),
        view=view.astype(np.float32),
        decisive=pay != 0,
        over=end,
    )


class TMaze(FiniteEnv):
    """The T-maze, after Bakker 2002: a test of memory, to set beside tests of credit.

    Rules: a corridor of `length` cells leads to a junction. At its beginning a sign, seen there alone, says up or down,
    each as likely. To turn at the junction ends the episode, and so does the time, `length` + 1 + `slack` steps.

    Observation: `Box(0, 1, (5,))`: sign up, sign down (2, both 0 further on); place by length; at the junction; share
    of the episode over. The state is not observed: to turn right takes memory.
    Action: `Discrete(4)`: up, down, left, right; walls stop.
    Reward: turning as the sign said pays 4 at once, the other way -0.1.
    Delay: none of the reward; `length` steps from the sign to its use.
    Optimal return: 4, with memory; 1.95 without.
    Decisive steps: the turn at the junction.

    Args:
        length: cells of the corridor, at least 1.
        slack: steps to spare.
    """

    def __init__(self, length: int = 10, slack: int = 10) -> None:
        if length < 1 or slack < 0:
            raise ValueError(f"the maze needs length >= 1 and slack >= 0, got {length} and {slack}")
        super().__init__(t_maze_model(length, slack))
