"""Episodes in, rewards out, with the same sum: what all redistributions share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.lrp.sequences import valid_steps
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.torch_mode import plain_torch

Rewards = NDArray[np.float64]


class Residual(StrEnum):
    """Which steps take what the contributions leave of the true return."""

    LAST = "last"
    """The last step."""
    SPREAD = "spread"
    """All steps alike."""


def place_residual(contributions: Rewards, episode_return: float, residual: Residual) -> Rewards:
    """Complete the contributions `[T]` of one episode to rewards that sum to its return."""
    rewards = contributions.astype(np.float64)
    if residual is Residual.SPREAD:
        rewards += (episode_return - rewards.sum()) / len(rewards)
    rewards[-1] += episode_return - rewards.sum()
    return rewards


class Redistributor(ABC):
    """Turns episodes into rewards, one a step, that sum to each episode's true return.

    A step earns what it was paid on the way and what it contributed to the prediction of the rest. The first one also
    earns what was expected before it, the value of its action as in Arjona-Medina et al. 2019 (section 3, equation 4),
    so the last one is left with no more than the error of the prediction.
    """

    def __init__(self, predictor: ReturnPredictor, residual: Residual | str = Residual.LAST) -> None:
        self.predictor = predictor
        self.residual = Residual(residual)

    @property
    @abstractmethod
    def causal(self) -> bool:
        """True if the reward of a step needs only the steps up to it."""

    @abstractmethod
    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """What each step contributed to the prediction of what is outstanding, in return units.

        `[B, T, F]` features, not normalised, and `[B]` lengths to `[B, T]`; zero beyond the length.
        """

    def differences(self, features: Tensor, lengths: Tensor) -> Tensor:
        """What each step changed in the predicted return, `[B, T]`; the first one, against the readout's bias."""
        changes = self.predictor.changes(self.predictor(features))
        return self.predictor.return_scale * changes * valid_steps(lengths, changes.shape[1])

    def redistribute(self, episodes: Sequence[Episode | Lesson], batch_size: int = 64) -> list[Rewards]:
        """Redistribute the return of finished episodes: one `[T]` array each, summing to its return."""
        features = self.predictor.features
        lessons = [e if isinstance(e, Lesson) else Lesson.from_episode(e, features) for e in episodes]
        rewards: list[Rewards] = []
        for start in range(0, len(lessons), batch_size):
            rewards += self._redistribute_batch(lessons[start : start + batch_size])
        return rewards

    @plain_torch()
    @torch.no_grad()
    def _redistribute_batch(self, lessons: Sequence[Lesson]) -> list[Rewards]:
        batch = LessonBatch.collate(lessons)
        contributions = self.contributions(batch.features, batch.lengths).double().numpy()
        contributions[:, 0] += self.predictor.expected_return
        return [
            place_residual(row[: len(lesson)] + lesson.paid, lesson.episode_return, self.residual)
            for row, lesson in zip(contributions, lessons, strict=True)
        ]
