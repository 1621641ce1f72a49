"""One episode as numbers over time: what was paid, what is handed out, and what that consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rudder_lrp.episodes.episode import Array

NOT_FEATURES = ("memory", "bias", "paid", "expected before", "left over")
"""What the credit of a step holds beside its features: of earlier steps, of the network's biases, paid at the step by
the environment, predicted before anything had happened (at the first step), and what the prediction missed."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """All that is drawn of one episode."""

    rewards: Array
    """The environment's own, `[T]`."""
    redistributed: Array
    """With the same sum, `[T]`."""
    predictions: Array
    """Predicted return after each step, `[T]`."""
    relevance: Array | None = None
    """What the redistributed reward of each step consists of, `[T, F]`; the rows sum to it."""
    feature_names: Sequence[str] = ()
    """Names of the F parts."""
    actions: Sequence[str] = ()
    """What was done at each step, in words."""
    images: Sequence[tuple[Array, Array]] = ()
    """Of each image that is observed, brightness and relevance `[T, rows, columns]`."""
    uncertainty: Array | None = None
    """Error bar of the redistributed reward of each step, `[T]`, where something says how sure it is."""

    @property
    def credit(self) -> Array:
        """What each step gets beyond what it was paid at once, `[T]`; the last step's own reward is what comes late."""
        beyond: Array = self.redistributed - np.append(self.rewards[:-1], 0.0)
        return beyond

    def strongest_steps(self, count: int) -> list[int]:
        """The steps with most credit, either way, the strongest first."""
        return [int(step) for step in np.argsort(-np.abs(self.credit), kind="stable")[:count]]


def credit_in_words(timeline: Timeline, step: int) -> str:
    """A step's credit, with its error bar where there is one."""
    if timeline.uncertainty is None:
        return f"{timeline.credit[step]:+.3g}"
    return f"{timeline.credit[step]:+.3g} \N{PLUS-MINUS SIGN} {timeline.uncertainty[step]:.2g}"


def strongest_features(timeline: Timeline, step: int, count: int = 3) -> str:
    """A step's action, and the features that count most in its credit, in words."""
    done = [f"action {timeline.actions[step]}"] if timeline.actions else []
    if timeline.relevance is None:
        return ", ".join(done)
    row = timeline.relevance[step] * [name not in NOT_FEATURES for name in timeline.feature_names]
    strongest = [at for at in np.argsort(-np.abs(row), kind="stable")[:count] if row[at]]
    return ", ".join(done + [f"{timeline.feature_names[at]} {row[at]:+.2g}" for at in strongest])
