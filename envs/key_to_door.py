"""A key now, apples meanwhile, a door much later."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

WALL, KEY, APPLE, DOOR = range(4)
_SIGHT = 2  # cells seen in each direction
_MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])  # up, down, left, right
_SMALL, _LARGE = 5, 9  # inner width of the key and the door room, and of the apple room


def _empty_room(width: int) -> NDArray[np.float32]:
    """A square room in its wall, with what lies beyond as wall too: `[side, side, 4]`."""
    room = np.zeros((width + 2 * _SIGHT, width + 2 * _SIGHT, 4), dtype=np.float32)
    room[..., WALL] = 1.0
    room[_SIGHT:-_SIGHT, _SIGHT:-_SIGHT, WALL] = 0.0
    return room


_KEY_CELLS = [(row, column) for row in range(2) for column in range(_SMALL)]
_APPLE_CELLS = [(row, column) for row in range(_LARGE) for column in range(_LARGE) if (row + column) % 2 == 0]


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
    Decisive steps: taking the key, eating an apple, opening the door.

    Args:
        frames: of the three rooms.
        apples: how many lie in the second room.
        apple_values: range that the episode's apple value is drawn from.
        door_reward: with the key.
    """

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
        self._enter(0)
        return self._observation(), {}

    def _enter(self, room: int) -> None:
        self._room, self._frame = room, 0
        width = (_SMALL, _LARGE, _SMALL)[room]
        self._map = _empty_room(width)
        self._at = np.array([width - 1, width // 2]) if room != 1 else np.array([width // 2, width // 2])
        if room == 0:
            self._put(KEY, _KEY_CELLS[self.np_random.integers(len(_KEY_CELLS))])
        elif room == 1:
            for cell in self.np_random.choice(len(_APPLE_CELLS), self.apples, replace=False):
                self._put(APPLE, _APPLE_CELLS[cell])
        else:
            self._put(DOOR, (0, _SMALL // 2))

    def _put(self, thing: int, cell: tuple[int, int]) -> None:
        self._map[cell[0] + _SIGHT, cell[1] + _SIGHT, thing] = 1.0

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move, and take what lies there."""
        target = self._at + _MOVES[int(action)]
        cell = self._map[target[0] + _SIGHT, target[1] + _SIGHT]
        reward, decisive = 0.0, bool(cell[KEY] or cell[APPLE] or cell[DOOR])
        if not cell[WALL]:
            self._at = target
        if decisive:
            reward = self._take(cell)
        self._frame += 1
        over = self._opened or (self._room == 2 and self._frame == self.frames[2])
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
        row, column = self._at
        view = self._map[row : row + 2 * _SIGHT + 1, column : column + 2 * _SIGHT + 1]
        room = np.zeros(4, dtype=np.float32)
        room[self._room] = 1.0
        room[3] = self._frame / self.frames[self._room]
        return np.concatenate([view.ravel(), room])
