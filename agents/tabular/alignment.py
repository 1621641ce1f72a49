"""Alignment of good episodes: what they have in common, in the same order, is what credit goes to.

After Align-RUDDER (Patil et al. 2020): states become events by clustering their successor representations, events of
good episodes are aligned, and an episode scores by how much of that profile it has matched so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from envs.finite import Floats, Indices


def successor_representation(states: Indices, lengths: Indices, n_states: int, discount: float) -> Floats:
    """Expected discounted visits of each state from each state, `[S, S]`, of the policy that made the episodes.

    Args:
        states: of N episodes, `[N, T + 1]`.
        lengths: their steps, `[N]`.
        n_states: S.
        discount: below 1.
    """
    running = np.arange(states.shape[1] - 1) < lengths[:, None]
    counts = np.zeros((n_states, n_states))
    np.add.at(counts, (states[:, :-1][running], states[:, 1:][running]), 1.0)
    left = counts.sum(axis=1, keepdims=True)
    follows = np.where(left > 0, counts / np.maximum(left, 1.0), np.eye(n_states))  # where an episode ends, it stays
    found: Floats = np.linalg.inv(np.eye(n_states) - discount * follows)
    return found


def clusters(points: Floats, most: int) -> Indices:
    """Cluster of each of the points `[N, D]`: the next centre is the point farthest from all others (Gonzalez 1985)."""
    nearest, members = np.full(len(points), np.inf), np.zeros(len(points), np.int64)
    centre = 0
    for number in range(min(most, len(points))):
        distances = np.abs(points - points[centre]).sum(axis=1)
        members[distances < nearest] = number
        nearest = np.minimum(nearest, distances)
        centre = int(nearest.argmax())
        if nearest[centre] == 0.0:
            break
    return members


class Events(NamedTuple):
    """What happened in an episode: the clusters it entered, staying in one being no event."""

    kinds: Indices
    """`[E]`."""
    steps: Indices
    """The step that each began with, `[E]`."""

    @classmethod
    def of(cls, visited: Indices) -> Events:
        """From the clusters of the states before the first step and after each one, `[T + 1]`."""
        steps = np.flatnonzero(np.diff(visited))
        return cls(visited[steps + 1], steps)


class Profile(NamedTuple):
    """What good episodes have in common, in order."""

    kinds: Indices
    """Event of each column, `[C]`."""
    scores: Floats
    """What matching a column is worth, `[C]`: log odds of its event in good episodes against all, at least 0."""

    def matched(self, kinds: Indices) -> Floats:
        """Score of the best alignment of the events so far, after each of the events `[E]`, `[E]`."""
        return _best(self, kinds)[1:, -1]


def build_profile(good: Sequence[Indices], share: Floats) -> Profile:
    """Align the events of good episodes, one episode after the other.

    Two different events never match and a gap costs nothing, so an alignment is the heaviest common subsequence.

    Args:
        good: events `[E]` of each episode.
        share: how many of all episodes have an event of each kind, as a share, `[K]`, none of them 0.
    """
    weights = -np.log(share)  # of Patil et al. 2020, where no two different events are alike
    kinds, counts = good[0].tolist(), [1] * len(good[0])
    for episode in good[1:]:
        columns = Profile(np.array(kinds, np.int64), weights[kinds])
        kinds, counts = _merged(kinds, counts, episode.tolist(), _pairs(columns, episode))
    odds = np.log(np.array(counts) / len(good)) + weights[kinds]
    return Profile(np.array(kinds, np.int64), odds.clip(min=0.0))


def _best(profile: Profile, kinds: Indices) -> Floats:
    """Score of the best alignment of the first so many events and columns, `[E + 1, C + 1]`."""
    best = np.zeros((len(kinds) + 1, len(profile.kinds) + 1))
    for at, kind in enumerate(kinds, start=1):
        matching = best[at - 1, :-1] + np.where(profile.kinds == kind, profile.scores, -np.inf)
        best[at, 1:] = np.maximum(best[at - 1, 1:], matching)
        np.maximum.accumulate(best[at], out=best[at])
    return best


def _pairs(profile: Profile, kinds: Indices) -> dict[int, int]:
    """Which event is aligned with which column."""
    best, pairs = _best(profile, kinds), {}
    event, column = len(kinds), len(profile.kinds)
    while event and column:
        if best[event, column] == best[event, column - 1]:
            column -= 1
        elif best[event, column] == best[event - 1, column]:
            event -= 1
        else:
            event, column = event - 1, column - 1
            pairs[event] = column
    return pairs


def _merged(
    kinds: list[int], counts: list[int], episode: list[int], pairs: dict[int, int]
) -> tuple[list[int], list[int]]:
    """Columns and their counts with one more episode; what it has alone becomes columns of its own."""
    merged: list[tuple[int, int]] = []
    done = 0
    for event, kind in enumerate(episode):
        if event not in pairs:
            merged.append((kind, 1))
            continue
        column = pairs[event]
        merged += zip(kinds[done:column], counts[done:column], strict=True)
        merged.append((kind, counts[column] + 1))
        done = column + 1
    merged += zip(kinds[done:], counts[done:], strict=True)
    return [kind for kind, _ in merged], [count for _, count in merged]
