"""Episodes, and the recorder that cuts the stream of a vectorised environment into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Observations: TypeAlias = Any
"""An array, or a dict or tuple of them (nested as the space is), whose rows share one leading axis."""


def map_arrays(function: Callable[..., Any], *trees: Observations) -> Observations:
    """Apply `function` to the corresponding arrays of observations that are nested alike."""
    first = trees[0]
    if isinstance(first, Mapping):
        return {key: map_arrays(function, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, tuple):
        return tuple(map_arrays(function, *parts) for parts in zip(*trees, strict=True))
    return function(*trees)


def as_array(values: Any) -> Array:
    """Numbers as an array; tensors leave their device and their graph."""
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)


def _row_counts(tree: Observations) -> set[int]:
    counts: set[int] = set()
    map_arrays(lambda array: counts.add(len(array)), tree)
    return counts


class Transitions(NamedTuple):
    """N steps, one after the other or of parallel environments, with the observations they really ended in."""

    observations: Observations
    """Before the step, `[N, ...]`."""
    actions: Observations
    """`[N, ...]`, nested as the action space is."""
    rewards: Array
    """The environment's own, `[N]`."""
    next_observations: Observations
    """After the step and before any reset, `[N, ...]`."""
    first: NDArray[np.bool_]
    """True where the step was the first of its episode, `[N]`."""
    last: NDArray[np.bool_]
    """True where the step was the last of its episode, `[N]`."""


@dataclass(frozen=True, eq=False)
class Episode:
    """One finished episode of T steps with its true rewards.

    Raises:
        ValueError: if the lengths do not fit together, the episode is empty, or a reward is not finite.
    """

    observations: Observations
    """Rows 0 to T: the observation before each step and, last, the one the episode ended in; `[T + 1, ...]`."""
    actions: Observations
    """`[T, ...]`, nested as the action space is."""
    rewards: Array
    """The environment's own rewards, `[T]`."""
    truncated: bool = False
    """True if a time limit cut the episode off, false if it reached a terminal state."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rewards", as_array(self.rewards).astype(np.float64))
        steps = len(self.rewards)
        if self.rewards.ndim != 1 or steps == 0:
            raise ValueError(
                f"an episode needs one reward a step and at least one step, got rewards of shape {self.rewards.shape}"
            )
        if (rows := _row_counts(self.actions)) != {steps}:
            raise ValueError(f"an episode of {steps} rewards needs {steps} actions, got {sorted(rows)}")
        if (rows := _row_counts(self.observations)) != {steps + 1}:
            raise ValueError(
                f"{steps} steps need {steps + 1} observations, the one they end in included; got {sorted(rows)}"
            )
        check_finite(self.rewards)

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def episode_return(self) -> float:
        """Undiscounted sum of the true rewards."""
        return float(self.rewards.sum())

    def transitions(self) -> Transitions:
        """The episode's T steps."""
        before = map_arrays(lambda rows: rows[:-1], self.observations)
        after = map_arrays(lambda rows: rows[1:], self.observations)
        steps = np.arange(len(self))
        return Transitions(before, self.actions, self.rewards, after, steps == 0, steps == len(self) - 1)


LARGEST_REWARD = 1e20  # beyond, sums and products of predictions overflow in float32


def check_finite(rewards: Array, where: str = "the episode") -> None:
    """Refuse rewards that are NaN, infinite, or too large for float32, with the first offending step.

    Raises:
        ValueError: naming the step and the value.
    """
    sound = np.abs(rewards) < LARGEST_REWARD
    if not sound.all():
        step = int(np.flatnonzero(~sound)[0])
        raise ValueError(
            f"reward {rewards[step]} at index {step} of {where} is not finite, or beyond {LARGEST_REWARD:g}: "
            "a return cannot be predicted from it; mend the environment or clip its reward"
        )


def repair_terminal(
    observations: Observations, dones: NDArray[np.bool_], infos: Sequence[Mapping[str, Any]]
) -> Observations:
    """Put the terminal observations back in place of the first ones of the next episodes.

    Raises:
        ValueError: if an environment is done and its info has no `terminal_observation`.
    """
    if not dones.any():
        return observations
    repaired = map_arrays(np.copy, observations)
    for index in np.flatnonzero(dones).tolist():
        if "terminal_observation" not in infos[index]:
            raise ValueError(
                f"environment {index} is done, but its info lacks 'terminal_observation'; "
                "use a VecEnv that resets by itself and keeps it, such as DummyVecEnv or SubprocVecEnv"
            )
        terminal = infos[index]["terminal_observation"]
        map_arrays(lambda rows, row, at=index: rows.__setitem__(at, row), repaired, terminal)
    return repaired
