"""Episodes out of a replay buffer of Stable-Baselines3, as lessons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer

from rudder_lrp.episodes.episode import Array, Episode, map_arrays
from rudder_lrp.sb3.replay_buffers import RedistributedReplayBuffer


def replayed_episodes(buffer: ReplayBuffer) -> Iterator[Episode]:
    """The episodes that lie wholly in a replay buffer, environment by environment, the oldest first.

    An episode that was interrupted, as by a second call of `learn`, is left out: the buffer does not say so, but the
    step after it begins with another observation than the one that it stopped at.

    Raises:
        ValueError: if the buffer overwrites observations to save memory, or holds redistributed rewards.
    """
    if buffer.optimize_memory_usage:
        raise ValueError(
            "a replay buffer with optimize_memory_usage=True does not keep the observations that episodes end in; "
            "record the data with optimize_memory_usage=False"
        )
    if isinstance(buffer, RedistributedReplayBuffer):
        raise ValueError(
            "a redistributed replay buffer does not hold the environment's own rewards; the lessons are in its "
            "environment: env.online.lessons"
        )
    for env_index in range(buffer.n_envs):
        for rows in _whole_episodes(buffer, env_index):
            yield _episode(buffer, rows, env_index)


def _whole_episodes(buffer: ReplayBuffer, env_index: int) -> Iterator[NDArray[np.int64]]:
    order = np.arange(buffer.pos)
    if buffer.full:
        order = (buffer.pos + np.arange(buffer.buffer_size)) % buffer.buffer_size
    dones = buffer.dones[order, env_index].astype(bool)
    # Of the oldest rows, the beginning may be overwritten.
    begins = np.concatenate([[not buffer.full], dones[:-1] | _jumps(buffer, order, env_index)])[: len(order)]
    begun = np.flatnonzero(begins)
    ends = np.flatnonzero(dones)
    for end, at in zip(ends.tolist(), np.searchsorted(begun, ends, side="right").tolist(), strict=True):
        if at:
            yield order[begun[at - 1] : end + 1]


def _jumps(buffer: ReplayBuffer, order: NDArray[np.int64], env_index: int) -> NDArray[np.bool_]:
    """Which rows but the first begin with another observation than the row before them ended in."""
    jumps = np.zeros(max(len(order) - 1, 0), dtype=bool)

    def compare(before: Array, after: Array) -> None:
        differ = before[order[1:], env_index] != after[order[:-1], env_index]
        jumps[:] |= differ.reshape(len(jumps), -1).any(axis=1)

    map_arrays(compare, buffer.observations, buffer.next_observations)
    return jumps


def _episode(buffer: ReplayBuffer, rows: NDArray[np.int64], env_index: int) -> Episode:
    def joined(before: Array, after: Array) -> Array:
        return np.concatenate([before[rows, env_index], after[rows[-1:], env_index]])

    observations = map_arrays(joined, buffer.observations, buffer.next_observations)
    actions = _as_taken(buffer.action_space, buffer.actions[rows, env_index])
    rewards = buffer.rewards[rows, env_index]
    return Episode(observations, actions, rewards, bool(buffer.timeouts[rows[-1], env_index]))


def _as_taken(space: spaces.Space[Any], stored: Array) -> Array:
    """Actions as the environment saw them: off-policy algorithms store continuous ones rescaled to [-1, 1]."""
    taken: Array = stored[:, 0] if isinstance(space, spaces.Discrete) else stored
    if isinstance(space, spaces.Box):
        taken = space.low + 0.5 * (stored.reshape(-1, *space.shape) + 1.0) * (space.high - space.low)
    return taken
