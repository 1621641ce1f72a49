"""A key now, apples meanwhile, a door much later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.true_credit import Floats, Foreseen, Policy

WALL, KEY, APPLE, DOOR = range(4)
_SIGHT = 2  # cells seen in each direction
_MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])  # up, down, left, right
_SMALL, _LARGE = 5, 9  # inner width of the key and the door room, and of the apple room
KEY_ROOM, APPLE_ROOM, DOOR_ROOM = range(3)

Cell = tuple[int, int]
"""Row and column within a room."""


class Situation(NamedTuple):
    """What decides whether the door will pay."""

    room: int
    frame: int
    """Frames that have passed in the room."""
    at: Cell
    """Where the agent is."""
    has_key: bool
    key: Cell
    """Where the key lay."""


def _empty_room(width: int) -> NDArray[np.float32]:
    """A square room in its wall, with what lies beyond as wall too: `[side, side, 4]`."""
    room = np.zeros((width + 2 * _SIGHT, width + 2 * _SIGHT, 4), dtype=np.float32)
    room[..., WALL] = 1.0
    room[_SIGHT:-_SIGHT, _SIGHT:-_SIGHT, WALL] = 0.0
    return room


def _put(room_map: NDArray[np.float32], thing: int, cell: Cell) -> None:
    room_map[cell[0] + _SIGHT, cell[1] + _SIGHT, thing] = 1.0


KEY_CELLS: list[Cell] = [(row, column) for row in range(2) for column in range(_SMALL)]
DOOR_CELL: Cell = (0, _SMALL // 2)
SMALL_CELLS: list[Cell] = [(row, column) for row in range(_SMALL) for column in range(_SMALL)]
"""Of the key room and of the door room."""
SMALL_START: Cell = (_SMALL - 1, _SMALL // 2)
"""Where the agent enters those."""
_APPLE_CELLS = [(row, column) for row in range(_LARGE) for column in range(_LARGE) if (row + column) % 2 == 0]


def _look(room_map: NDArray[np.float32], at: NDArray[np.int64], room: int, share_over: float) -> NDArray[np.float32]:
    """The observation `[104]`."""
    row, column = at
    view = room_map[row : row + 2 * _SIGHT + 1, column : column + 2 * _SIGHT + 1]
    return np.concatenate([view.ravel(), np.eye(3, dtype=np.float32)[room], np.array([share_over], np.float32)])


def step_from(cell: Cell) -> list[Cell]:
    """Where the four actions lead from a cell of the key room or the door room."""
    targets = (np.array(cell) + _MOVES).clip(0, _SMALL - 1).tolist()
    return [(row, column) for row, column in targets]


def chance_to_reach(policy: Policy, sights: NDArray[np.float32], target: Cell) -> Floats:
    """Probability to step on a cell of a small room before its frames are over.

    Args:
        policy: acts.
        sights: what it sees there, see `KeyToDoor.sights`.
        target: the cell.

    Returns:
        By frame and cell, `[frames + 1, 25]`.
    """
    leads = np.array([[SMALL_CELLS.index(cell) for cell in step_from(cell)] for cell in SMALL_CELLS])
    reached = np.array([cell == target for cell in SMALL_CELLS])
    actions = policy(sights.reshape(-1, sights.shape[-1])).reshape(*sights.shape[:2], -1)
    chance = np.zeros((len(sights) + 1, len(SMALL_CELLS)))
    chance[-1, reached] = 1.0
    for frame in reversed(range(len(sights))):
        chance[frame] = np.where(reached, 1.0, (actions[frame] * chance[frame + 1][leads]).sum(axis=1))
    return chance


class DoorPayment(Foreseen):
    """What the door is expected to pay after each step, exactly, for one policy.

    It depends on whether the agent has the key, or will get it in the frames left, and on whether it will reach the
    door. Before the key was in view nobody who sees what the agent sees knows its cell: the expectation is then the
    mean over the cells that the view has not ruled out.

    Args:
        env: the task.
        policy: acts.
    """

    def __init__(self, env: KeyToDoor, policy: Policy) -> None:
        self.reward = env.door_reward
        self.key = {cell: chance_to_reach(policy, env.sights(KEY_ROOM, cell), cell) for cell in KEY_CELLS}
        self.door = chance_to_reach(policy, env.sights(DOOR_ROOM, DOOR_CELL), DOOR_CELL)
        self.opens = float(self.door[0, SMALL_CELLS.index(SMALL_START)])

    def expected(self, situations: Sequence[Situation]) -> Floats:
        """See `Foreseen.expected`."""
        possible, expected = set(KEY_CELLS), []
        for situation in situations:
            if situation.room == KEY_ROOM:
                in_view = {cell for cell in possible if _sees(situation.at, cell)}
                possible = {situation.key} if situation.key in in_view else possible - in_view
            expected.append(self.reward * self._pays(situation, possible))
        return np.array(expected)

    def _pays(self, situation: Situation, possible: set[Cell]) -> float:
        """The probability, if the key lies in one of the possible cells."""
        if situation.room == APPLE_ROOM:
            return situation.has_key * self.opens
        at = situation.frame, SMALL_CELLS.index(situation.at)
        if situation.room == DOOR_ROOM:
            return situation.has_key * float(self.door[at])
        if situation.has_key:
            return self.opens
        return self.opens * float(np.mean([self.key[cell][at] for cell in possible]))


def _sees(at: Cell, cell: Cell) -> bool:
    return abs(at[0] - cell[0]) <= _SIGHT and abs(at[1] - cell[1]) <= _SIGHT


class KeyToDoor(gym.Env[NDArray[np.float32], int]):
    """Key-to-door, after Hung et al. 2019 (Temporal Value Transport).

    Rules: three rooms, one after the other, for 15, 90 and 15 frames. In the first, 5 x 5 cells, the key lies in one
    of the ten cells of the two upper rows, and the agent starts in the middle of the lowest. In the second, 9 x 9
    cells, ten apples lie on ten cells of a chequerboard, and the agent starts in the middle. In the third, 5 x 5 cells,
    the door is in the middle of the uppermost row, and the agent starts in the middle of the lowest. Things are taken
    by stepping on them. The episode ends at the door, or with the last frame.

    Observation: `Box(0, 1, (104,))`: 5 x 5 cells around the agent, each with wall, key, apple, door (100); the room as
    one-hot (3); the share of the room's frames that is over (1). The key is not shown once it is taken.
    Action: `Discrete(4)`: up, down, left, right.
    Reward: an apple pays the episode's apple value at once, uniform in [1, 10); the door pays 10 with the key, else 0.
    Delay: about 100 frames between key and door.
    Optimal return: 65 on average: ten apples of 5.5 each, all within reach of 90 frames, and the door.
    Info: `key`, `apples` (number eaten), `paid` (whether the door paid), `decisive`.
    Decisive steps: taking the key, opening the door; an apple pays at once and leaves nothing to be credited for.

    Args:
        frames: of the three rooms.
        apples: how many lie in the second room.
        apple_values: range that the episode's apple value is drawn from.
        door_reward: with the key.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "outcomes": {"paid": "door paid", "key": "key taken"}}

    def __init__(
        self,
        frames: tuple[int, int, int] = (15, 90, 15),
        apples: int = 10,
        apple_values: tuple[float, float] = (1.0, 10.0),
        door_reward: float = 10.0,
    ) -> None:
        self.frames = frames
        self.apples = apples
        self.apple_values = apple_values
        self.door_reward = door_reward
        self.optimal_return = apples * sum(apple_values) / 2 + door_reward
        self.observation_space = spaces.Box(0.0, 1.0, ((2 * _SIGHT + 1) ** 2 * 4 + 4,), np.float32)
        self.action_space = spaces.Discrete(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin in the first room."""
        super().reset(seed=seed)
        self._has_key, self._eaten, self._opened = False, 0, False
        self._apple_value = float(self.np_random.uniform(*self.apple_values))
        self._enter(KEY_ROOM)
        return self._observation(), {}

    def _enter(self, room: int) -> None:
        self._room, self._frame = room, 0
        self._map = _empty_room((_SMALL, _LARGE, _SMALL)[room])
        self._at = np.array([_LARGE // 2, _LARGE // 2] if room == APPLE_ROOM else SMALL_START)
        if room == KEY_ROOM:
            self._key = KEY_CELLS[self.np_random.integers(len(KEY_CELLS))]
            _put(self._map, KEY, self._key)
        elif room == APPLE_ROOM:
            for cell in self.np_random.choice(len(_APPLE_CELLS), self.apples, replace=False):
                _put(self._map, APPLE, _APPLE_CELLS[cell])
        else:
            _put(self._map, DOOR, DOOR_CELL)

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move, and take what lies there."""
        target = self._at + _MOVES[int(action)]
        cell = self._map[target[0] + _SIGHT, target[1] + _SIGHT]
        decisive = bool(cell[KEY] or cell[DOOR])
        if not cell[WALL]:
            self._at = target
        reward = self._take(cell) if decisive or cell[APPLE] else 0.0
        self._frame += 1
        over = self._opened or (self._room == DOOR_ROOM and self._frame == self.frames[DOOR_ROOM])
        if not over and self._frame == self.frames[self._room]:
            self._enter(self._room + 1)
        info = {
            "decisive": decisive,
            "key": self._has_key,
            "apples": self._eaten,
            "paid": self._opened and self._has_key,
        }
        return self._observation(), reward, over, False, info

    def _take(self, cell: NDArray[np.float32]) -> float:
        reward = 0.0
        if cell[KEY]:
            self._has_key = True
        elif cell[APPLE]:
            self._eaten += 1
            reward = self._apple_value
        else:
            self._opened = True
            reward = self.door_reward if self._has_key else 0.0
        cell[KEY] = cell[APPLE] = 0.0
        return reward

    def _observation(self) -> NDArray[np.float32]:
        return _look(self._map, self._at, self._room, self._frame / self.frames[self._room])

    @property
    def situation(self) -> Situation:
        """What decides whether the door will pay, apart from the agent."""
        row, column = self._at.tolist()
        return Situation(self._room, self._frame, (row, column), self._has_key, self._key)

    def foresee(self, policy: Policy) -> DoorPayment:
        """What the door is expected to pay with a policy."""
        return DoorPayment(self, policy)

    def sights(self, room: int, thing: Cell) -> NDArray[np.float32]:
        """All that can be seen in the key room or the door room while its thing has not been taken.

        Args:
            room: `KEY_ROOM` or `DOOR_ROOM`.
            thing: where the key or the door is.

        Returns:
            Observations `[frames, 25, 104]`, the cells in the order of `SMALL_CELLS`.
        """
        room_map, frames = _empty_room(_SMALL), self.frames[room]
        _put(room_map, KEY if room == KEY_ROOM else DOOR, thing)
        seen = [
            _look(room_map, np.array(cell), room, frame / frames) for frame in range(frames) for cell in SMALL_CELLS
        ]
        return np.stack(seen).reshape(frames, len(SMALL_CELLS), -1)
