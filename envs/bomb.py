"""A bomb to defuse, and small rewards that lead away from it."""

from __future__ import annotations

import numpy as np

from envs.finite import Earnings, FiniteEnv, FiniteModel
from envs.grid import cells, moves

SIDE, BOMB = 31, (30, 15)
TOWARDS, AWAY = -0.09, 0.1
DEFUSED, CHANCE = 1000.0, 0.5


def bomb_model(delay: int) -> FiniteModel:
    """Rules of `Bomb`; state = 2 * cell + visited."""
    place, target = cells(SIDE, SIDE), moves(SIDE, SIDE)
    distance, hamming = np.abs(place - BOMB).sum(axis=1), (place != BOMB).sum(axis=1)
    bomb = BOMB[0] * SIDE + BOMB[1]
    cell, visited = np.divmod(np.arange(2 * SIDE * SIDE), 2)
    reaches = target[cell] == bomb
    closer = distance[target[cell]] - distance[cell][:, None]
    rate = np.where(closer < 0, TOWARDS, np.where(closer > 0, AWAY, 0.0)) * hamming[cell][:, None]
    first = (reaches & (visited == 0)[:, None])[None]
    steps = int(1.5 * delay)
    starts = np.zeros(2 * SIDE * SIDE)
    starts[2 * ((BOMB[0] - delay) * SIDE + BOMB[1])] = 1.0
    return FiniteModel(
        steps=steps,
        starts=starts,
        next_state=2 * target[cell] + (reaches | (visited == 1)[:, None]),
        now=Earnings(np.arange(steps)[:, None, None] * rate),
        late=Earnings(first * DEFUSED * CHANCE, first * DEFUSED * CHANCE),
        view=np.column_stack([place[cell] / (SIDE - 1), visited]).astype(np.float32),
        decisive=first,
    )


class Bomb(FiniteEnv):
    """Grid World with a bomb, after Arjona-Medina et al. 2019 (RUDDER, artificial task I).

    Rules: 31 x 31 cells; the bomb lies at row 30, column 15, the agent starts `delay` rows above it and has
    floor(1.5 * delay) steps. A bomb that was visited is defused with probability 0.5.

    Observation: `Box(0, 1, (4,))`: row and column by 30, whether the bomb was visited, share of the episode over.
    Action: `Discrete(4)`: up, down, left, right; at the border one stays.
    Reward: at the last step 1000 if the bomb was defused. At step t, a move from a cell at Hamming distance h, the
    number of coordinates (0 to 2) that differ from the bomb's, pays -0.09 * t * h at once if it brings the agent nearer
    and +0.1 * t * h if it takes it further away. (With the distance in cells in its place, at delay 15 it would be
    better to run away.)
    Delay: `delay` // 2 steps from the visit to the payment, `delay` moves against the lure before it.
    Optimal return: by dynamic programming; about 500, the bomb's, less the cost of the way.
    Decisive steps: the first move onto the bomb.

    Args:
        delay: distance between start and bomb, 1 to 30.
    """

    def __init__(self, delay: int = 6) -> None:
        if not 1 <= delay <= BOMB[0]:
            raise ValueError(f"the bomb can lie 1 to {BOMB[0]} rows away, got a delay of {delay}")
        super().__init__(bomb_model(delay))
