"""Random subsets of an episode's steps, from which the sum over all of them is estimated (Ren et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.lrp.sequences import valid_steps


class Subsets(NamedTuple):
    """At most K steps of each of B episodes, drawn without replacement; padded where an episode has fewer."""

    features: Tensor
    """Not normalised, in the order of time, `[B, K, F]`."""
    counts: Tensor
    """How many of the K there are, `[B]`."""
    steps: Tensor
    """T of the whole episodes, `[B]`."""

    @classmethod
    def draw(cls, lessons: Sequence[Lesson], size: int, rng: np.random.Generator) -> Subsets:
        """Draw `size` steps of each lesson, or all there are."""
        most = min(size, max(map(len, lessons)))
        features = np.zeros((len(lessons), most, lessons[0].features.shape[1]), dtype=np.float32)
        for row, lesson in zip(features, lessons, strict=True):
            drawn = np.sort(rng.permutation(len(lesson))[:most])
            row[: len(drawn)] = lesson.features[drawn]
        steps = torch.tensor([len(lesson) for lesson in lessons])
        return cls(torch.from_numpy(features), steps.clamp_max(most), steps)

    def mean_error(self, rewards: Tensor, returns: Tensor) -> Tensor:
        """`(G / T - mean of the sampled rewards)^2`, `[B]`.

        In expectation larger than with all steps by the variance of the sampled mean, `(1 - K/T) s^2 / K`: a penalty on
        the variance of the rewards within an episode.

        Args:
            rewards: of the sampled steps, `[B, K]`.
            returns: G of each episode, `[B]`.
        """
        mask = valid_steps(self.counts, rewards.shape[1])
        return (returns / self.steps - (rewards * mask).sum(dim=1) / self.counts).square()

    def unbiased_error(self, rewards: Tensor, returns: Tensor) -> Tensor:
        """The same without that variance, estimated from steps that were drawn without replacement."""
        mask = valid_steps(self.counts, rewards.shape[1])
        mean = (rewards * mask).sum(dim=1, keepdim=True) / self.counts[:, None]
        variance = ((rewards - mean).square() * mask).sum(dim=1) / (self.counts - 1).clamp_min(1)
        return self.mean_error(rewards, returns) - (1.0 - self.counts / self.steps) / self.counts * variance
