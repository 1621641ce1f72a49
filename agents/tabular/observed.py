"""What an agent with credit knows of its task: the shape of its tables, the spaces, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import gymnasium as gym
import numpy as np

from envs.finite import FiniteEnv, Indices

Show = Callable[[Indices, np.random.Generator], np.ndarray]
"""From the states `[N, T + 1]` of N episodes to observations `[N, T + 1, D]`; distractions are drawn."""


@dataclass(frozen=True)
class Observed:
    """A task as it is seen from outside."""

    shape: tuple[int, int, int]
    """Steps, states and actions."""
    observation_space: gym.Space[np.ndarray]
    action_space: gym.Space[int]
    show: Show
    """Observations of visited states."""

    @classmethod
    def of(cls, env: FiniteEnv) -> Observed:
        """A task with rules in arrays."""
        return cls(env.model.shape, env.observation_space, env.action_space, partial(_show, env))


def _show(env: FiniteEnv, states: Indices, rng: np.random.Generator) -> np.ndarray:
    times = np.broadcast_to(np.linspace(0.0, 1.0, states.shape[1])[:, None], (*states.shape, 1))
    bits = rng.integers(2, size=(*states.shape, env.distractors))
    return np.concatenate([env.model.view[states], bits, times], axis=2).astype(np.float32)
