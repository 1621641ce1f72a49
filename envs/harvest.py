"""A field seen as a picture: one plant bears fruit, the others are weeds, and what was picked is weighed at the end."""

from __future__ import annotations

from itertools import product

import numpy as np
from gymnasium import spaces

from envs.finite import Earnings, FiniteEnv, FiniteModel, Indices, Observation
from envs.grid import moves

FRUIT, WEED, BUTTERFLY = 5.0, -2.0, 1.0
_SIDE, _PIXELS = 5, 2
_CORNERS = np.array([0, _SIDE - 1, _SIDE * (_SIDE - 1), _SIDE * _SIDE - 1])
_MASKS = 2 ** len(_CORNERS)


def _states() -> tuple[Indices, Indices, Indices]:
    """Place, corner of the fruit, and which corners have been picked, of every state."""
    place, fruit, picked = np.array(list(product(range(_SIDE**2), range(len(_CORNERS)), range(_MASKS)))).T
    return place, fruit, picked


def harvest_model(steps: int) -> FiniteModel:
    """Rules of `Harvest`; state = (place * 4 + corner of the fruit) * 16 + corners that have been picked."""
    place, fruit, picked = _states()
    target = moves(_SIDE, _SIDE)[place]
    corner = (target[..., None] == _CORNERS).argmax(axis=2)
    there = (target[..., None] == _CORNERS).any(axis=2)
    fresh = there & ((picked[:, None] >> corner) & 1 == 0)
    late = np.where(fresh, np.where(corner == fruit[:, None], FRUIT, WEED), 0.0)[None]
    after = np.where(fresh, picked[:, None] | (1 << corner), picked[:, None])
    starts = ((place == _SIDE**2 // 2) & (picked == 0)) / len(_CORNERS)
    return FiniteModel(
        steps=steps,
        starts=starts,
        next_state=(target * len(_CORNERS) + fruit[:, None]) * _MASKS + after,
        now=Earnings(np.zeros((1, 1, 1)), np.where(np.arange(steps) < steps - 1, BUTTERFLY, 0.0)[:, None, None]),
        late=Earnings(late),
        view=_pictures(place, fruit, picked),
        decisive=late != 0.0,
    )


def _pictures(place: Indices, fruit: Indices, picked: Indices) -> Observation:
    """Every state as a picture: who stands where, the fruit, the weeds; `[S, 5 * 5 * 3]`."""
    field = np.zeros((len(place), _SIDE**2, 3), np.float32)
    field[np.arange(len(place)), place, 0] = 1.0
    for number, cell in enumerate(_CORNERS):
        left = (picked >> number) & 1 == 0
        field[left & (fruit == number), cell, 1] = 1.0
        field[left & (fruit != number), cell, 2] = 1.0
    return field.reshape(len(place), -1)


class Harvest(FiniteEnv):
    """A task with pictures for observations, for credit that no choice was made with.

    Rules: a field of 5 x 5 cells with a plant in each corner, one of them in fruit, the others weeds; which one is
    drawn anew each episode. The walker starts in the middle. Stepping on a plant picks it, once.

    Observation: `Box(0, 255, (10, 10, 3), uint8)`: the field, two pixels a cell; red the walker, green the fruit, blue
    the weeds.
    Action: `Discrete(4)`: up, down, left, right.
    Reward: the fruit earns 5 and each weed -2, paid at the last step; butterflies pay 1 or -1 at every step
    before, by a coin.
    Delay: up to `steps` - 4 steps.
    Optimal return: 5 on average.
    Decisive steps: those that pick a plant.

    Args:
        steps: length of an episode.
    """

    def __init__(self, steps: int = 30) -> None:
        super().__init__(harvest_model(steps))
        self.observation_space = spaces.Box(0, 255, (_SIDE * _PIXELS, _SIDE * _PIXELS, 3), np.uint8)

    def look(self, states: Indices, steps: Indices, bits: Indices) -> Observation:
        """The pictures of states `[N]`, `[N, 10, 10, 3]`."""
        field = self.model.view[states].reshape(-1, _SIDE, _SIDE, 3)
        return (255 * field.repeat(_PIXELS, axis=1).repeat(_PIXELS, axis=2)).astype(np.uint8)
