"""Every step earns the same, or what episodes with the same transition returned: rewards without a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.features import Features, TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.redistribution.base import Residual, Rewards
from rudder_lrp.redistribution.learning import LearningRedistributor


class UniformRedistributor(LearningRedistributor):
    """`r_t = G / T`, the uniform decomposition of the return: all is residual, and spread evenly.

    Args:
        features: how transitions are encoded.
    """

    def __init__(self, features: TransitionFeatures) -> None:
        super().__init__(features, Residual.SPREAD)

    def fit(self, episodes: Sequence[Episode | Lesson]) -> None:
        """There is nothing to learn."""

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Of a step, as far as its features say: nothing, `[B, T]`."""
        return torch.zeros(features.shape[:2], dtype=torch.float64)


class IRCRRedistributor(LearningRedistributor):
    """Iterative relative credit refinement (Gangwani et al. 2020): a transition earns what its episodes returned.

    The guidance reward of a step is `(G - G_min) / (G_max - G_min)` of its episode, averaged over all episodes that
    were given to `fit` and visit the same transition. It lies in [0, 1] and sums to nothing in particular. So what is
    redistributed is its share of the return, `(G_min + guidance * (G_max - G_min)) / T`, and the residual, spread
    evenly, makes the sum the true return: differences between steps are the method's, their common level is not. Where
    no transition is visited twice, as in continuous spaces, nothing but `G / T` is left.

    Args:
        features: how transitions are encoded; those with the same features are the same.
        residual: which steps take what is left of the true return.
        cadence: how often it learns while an agent plays.
    """

    # Before anything is known; `fit` replaces all of them.
    lowest = highest = _usual = 0.0
    _guidance: Mapping[bytes, float] = MappingProxyType({})

    def fit(self, episodes: Sequence[Episode | Lesson]) -> None:
        """Take over what these episodes returned, in place of what was known.

        Raises:
            ValueError: if there are none.
        """
        lessons = self.lessons(episodes)
        if not lessons:
            raise ValueError("no episodes to learn from; give at least one")
        returns = np.array([lesson.episode_return for lesson in lessons])
        self.lowest, self.highest = float(returns.min()), float(returns.max())
        relative = (returns - self.lowest) / ((self.highest - self.lowest) or 1.0)
        visits: dict[bytes, list[float]] = {}
        for lesson, value in zip(lessons, relative, strict=True):
            for step in lesson.features:
                visits.setdefault(step.tobytes(), []).append(float(value))
        self._guidance = {step: float(np.mean(values)) for step, values in visits.items()}
        self._usual = float(relative.mean())

    def guidance(self, features: Features) -> Rewards:
        """Guidance rewards of steps `[T, F]`, `[T]`; of transitions that were never seen, that of the mean episode."""
        return np.array([self._guidance.get(step.tobytes(), self._usual) for step in features])

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`."""
        shares = torch.zeros(features.shape[:2], dtype=torch.float64)
        for row, steps, length in zip(shares, features.numpy(), lengths.tolist(), strict=True):
            known = self.guidance(steps[:length])
            row[:length] = torch.from_numpy(self.lowest + known * (self.highest - self.lowest)) / length
        return shares
