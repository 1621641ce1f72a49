"""Rooms with doors between them, and a goal in the last one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.finite import Earnings, FiniteEnv, FiniteModel
from envs.grid import cells, moves

ROOM, STEPS, SLIP = 6, 200, 0.01
_DOOR = 2  # row or column, within a room, of the doors to its neighbours


def _crossings(rows: int, columns: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which moves go from room to room, and which of those through a door; `[S, 4]` each."""
    place, target = cells(rows, columns), moves(rows, columns)
    crosses = (place[target] // ROOM != (place // ROOM)[:, None]).any(axis=2)
    through = np.concatenate([np.tile(place[:, 1:], 2), np.tile(place[:, :1], 2)], axis=1) % ROOM == _DOOR
    return crosses, crosses & through


def rooms_model(across: int) -> FiniteModel:
    """Rules of `Rooms`; the state is the cell, row by row."""
    rows, columns = 2 * ROOM, across * ROOM
    crosses, opens = _crossings(rows, columns)
    own = np.arange(rows * columns)
    target = np.where(crosses & ~opens, own[:, None], moves(rows, columns))
    over = own == own[-1]
    target[over] = own[-1]
    reaches = (target == own[-1]) & ~over[:, None]
    pay = np.zeros((STEPS, *target.shape))
    pay[:, reaches] = (3.0 - (np.arange(1, STEPS + 1) - 53.32) / STEPS)[:, None]
    pay[-1, ~reaches & ~over[:, None]] = 1.0
    place = cells(rows, columns)
    room = place // ROOM @ [across, 1]
    return FiniteModel(
        steps=STEPS,
        starts=(own == 0).astype(np.float64),
        next_state=target,
        now=Earnings(pay),
        late=Earnings(np.zeros((1, 1, 1))),
        view=np.column_stack([place % ROOM / (ROOM - 1), np.eye(2 * across)[room]]).astype(np.float32),
        decisive=(opens | reaches)[None],
        over=over,
        slip=SLIP,
    )


class Rooms(FiniteEnv):
    """FourRooms and EightRooms, after Patil et al. 2020 (Align-RUDDER).

    Rules: two rows of 6 x 6 rooms; neighbours are connected by a door, at the third cell of the wall between them.
    The agent starts in the corner of the first room; the goal is the opposite corner of the last one. One action in
    a hundred is replaced by a random one. The episode ends at the goal, or after 200 steps.

    Observation: `Box(0, 1, (3 + rooms,))`: row and column within the room by 5; room as one-hot; share of the episode
    over.
    Action: `Discrete(4)`: up, down, left, right; walls stop.
    Reward: the goal pays 3 - steps / 200 + 53.32 / 200; the 200th step pays 1 if it does not reach the goal.
    Delay: the whole way.
    Optimal return: by dynamic programming.
    Decisive steps: passing a door, reaching the goal.

    Args:
        rooms: 4 or 8, or another even number.
    """

    def __init__(self, rooms: int = 4) -> None:
        if rooms < 2 or rooms % 2:
            raise ValueError(f"the rooms stand in two rows, so their number must be even, got {rooms}")
        super().__init__(rooms_model(rooms // 2))
