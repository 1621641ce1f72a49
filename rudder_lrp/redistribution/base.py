"""Episodes in, rewards out, with the same sum: what all redistributions share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.features import TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.lrp.sequences import valid_steps
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.redistribution.uncertainty import shrunk, spread

Rewards = NDArray[np.float64]


class Residual(StrEnum):
    """Which steps take what the contributions leave of the true return."""

    LAST = "last"
    """The last step: all that can be said while an episode runs, and what agents learn from."""
    SPREAD = "spread"
    """All steps alike."""
    DOUBT = "doubt"
    """Each step in proportion to the variance of its contribution among the predictor's members; the last one, where
    they do not differ. That is what the return, once it is known, says of contributions that were estimated apart from
    each other: the expectation of normal variables, given their sum. Nearer to the true credit of finished episodes
    (suite `lessons` of the benchmarks); but what came as a surprise late is then earned early, see `docs/credit.md`."""


def place_residual(
    contributions: Rewards, episode_return: float, residual: Residual, deviation: Rewards | None = None
) -> Rewards:
    """Complete the contributions `[T]` of one episode to rewards that sum to its return.

    Args:
        contributions: what each step earns so far.
        episode_return: what is to be the sum.
        residual: which steps take what is left.
        deviation: standard deviation of each contribution, `[T]`; none are in doubt, where there is none.
    """
    rewards = contributions.astype(np.float64)
    left = episode_return - rewards.sum()
    if residual is Residual.SPREAD:
        rewards += left / len(rewards)
    elif residual is Residual.DOUBT and deviation is not None and (largest := deviation.max()) > 0.0:
        variance = (deviation / largest) ** 2
        rewards += left * variance / variance.sum()
    rewards[-1] += episode_return - rewards.sum()
    return rewards


class Redistributor(ABC):
    """Turns episodes into rewards, one a step, that sum to each episode's true return.

    A step earns what it keeps of its own reward and what it contributed to the rest. What was expected before any step
    is of none of them: the first one also earns that, the value of its action as in Arjona-Medina et al. 2019 (section
    3, equation 4), so the residual at the last step is no more than what the contributions miss; where the residual is
    spread, it is spread with it.

    Args:
        features: how transitions are encoded.
        residual: which steps take what is left of the true return.
    """

    def __init__(self, features: TransitionFeatures, residual: Residual | str = Residual.LAST) -> None:
        self.features = features
        self.residual = Residual(residual)

    @property
    @abstractmethod
    def causal(self) -> bool:
        """True if the reward of a step needs only the steps up to it."""

    @abstractmethod
    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """What each step contributed to what is redistributed, in return units.

        `[B, T, F]` features, not normalised, and `[B]` lengths to `[B, T]`; zero beyond the length.
        """

    @property
    def expected_return(self) -> float:
        """What was expected before the first step, which no step has contributed."""
        return 0.0

    def predictions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """What was outstanding after each step as far as is known, `[B, T]`, in return units."""
        return self.expected_return + self.contributions(features, lengths).cumsum(dim=1)

    def kept(self, lesson: Lesson) -> Rewards:
        """What of its own reward each step keeps, `[T]`: none, where all of the return is redistributed."""
        return np.zeros(len(lesson))

    def unexplained(self, lesson: Lesson) -> Rewards:
        """What an episode's steps earn, `[T]`, as far as nothing is known of them: all is residual but what is kept."""
        return place_residual(self.kept(lesson), lesson.episode_return, self.residual)

    def trusted(self, lessons: Sequence[Lesson], trust: float) -> list[Rewards]:
        """What steps earn, `[T]` each, where the redistribution is trusted so far; of the rest nothing is known.

        Args:
            lessons: finished episodes.
            trust: within [0, 1], see `rudder_lrp.prediction.online.OnlinePredictor.q`.
        """
        rest = [self.unexplained(lesson) for lesson in lessons]
        if not trust:
            return rest
        pairs = zip(self.redistribute(lessons), rest, strict=True)
        return [trust * new + (1.0 - trust) * own for new, own in pairs]

    def lessons(self, episodes: Sequence[Episode | Lesson]) -> list[Lesson]:
        """The episodes, encoded."""
        return [e if isinstance(e, Lesson) else Lesson.from_episode(e, self.features) for e in episodes]

    def deviation(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Standard deviation of each contribution, `[B, T]`; zero, where nothing says how sure it is."""
        return torch.zeros(features.shape[:2], dtype=torch.float64)

    @property
    def calibration(self) -> float:
        """What the deviation is multiplied by, for an error bar."""
        return 1.0

    @overload
    def redistribute(
        self, episodes: Sequence[Episode | Lesson], batch_size: int = 64, *, return_uncertainty: Literal[False] = False
    ) -> list[Rewards]: ...

    @overload
    def redistribute(
        self, episodes: Sequence[Episode | Lesson], batch_size: int = 64, *, return_uncertainty: Literal[True]
    ) -> tuple[list[Rewards], list[Rewards]]: ...

    def redistribute(
        self, episodes: Sequence[Episode | Lesson], batch_size: int = 64, *, return_uncertainty: bool = False
    ) -> list[Rewards] | tuple[list[Rewards], list[Rewards]]:
        """Redistribute the return of finished episodes: one `[T]` array each, summing to its return.

        What the members of a predictor do not agree on is withheld and left to the residual.

        Args:
            episodes: finished ones.
            batch_size: how many are explained at once.
            return_uncertainty: whether to return, too, the standard deviation of each step's credit, `[T]` each.
        """
        lessons = self.lessons(episodes)
        rewards: list[Rewards] = []
        uncertainty: list[Rewards] = []
        for start in range(0, len(lessons), batch_size):
            of_batch = self._redistribute_batch(lessons[start : start + batch_size])
            rewards += of_batch[0]
            uncertainty += of_batch[1]
        return (rewards, uncertainty) if return_uncertainty else rewards

    @plain_torch()
    @torch.no_grad()
    def _redistribute_batch(self, lessons: Sequence[Lesson]) -> tuple[list[Rewards], list[Rewards]]:
        batch = LessonBatch.collate(lessons)
        contributions = self.contributions(batch.features, batch.lengths).double()
        deviation = self.deviation(batch.features, batch.lengths)
        handed = shrunk(contributions, deviation).numpy()
        if self.residual is not Residual.SPREAD:
            handed[:, 0] += self.expected_return
        apart = [row[: len(lesson)] for row, lesson in zip(deviation.numpy(), lessons, strict=True)]
        rewards = [
            place_residual(row[: len(lesson)] + self.kept(lesson), lesson.episode_return, self.residual, doubt)
            for row, lesson, doubt in zip(handed, lessons, apart, strict=True)
        ]
        return rewards, [self.calibration * doubt for doubt in apart]


class PredictorRedistributor(Redistributor):
    """Redistributes what a return predictor predicts: what was paid on the way stays where it is.

    Args:
        predictor: whose prediction is explained.
        residual: which steps take what is left of the true return.
    """

    def __init__(self, predictor: ReturnPredictor, residual: Residual | str = Residual.LAST) -> None:
        super().__init__(predictor.features, residual)
        self.predictor = predictor

    @property
    def expected_return(self) -> float:
        """See `Redistributor.expected_return`: the readout's bias."""
        return self.predictor.expected_return

    @property
    def calibration(self) -> float:
        """See `Redistributor.calibration`: what held-out lessons have shown."""
        return float(self.predictor.calibration)

    def predictions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.predictions`."""
        return self.predictor.in_return_units(self.predictor(features))

    def kept(self, lesson: Lesson) -> Rewards:
        """See `Redistributor.kept`: what was paid before the last step."""
        return lesson.paid

    def differences(self, features: Tensor, lengths: Tensor) -> Tensor:
        """What each step changed in the predicted return, `[B, T]`; the first one, against the readout's bias."""
        return self._member_differences(features, lengths).mean(dim=2)

    def deviation(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Standard deviation among the predictor's members of what each step changed, `[B, T]`; zero for one."""
        if self.predictor.members == 1:
            return super().deviation(features, lengths)
        return spread(self._member_differences(features, lengths))

    def _member_differences(self, features: Tensor, lengths: Tensor) -> Tensor:
        changes = self.predictor.member_changes(features)
        return self.predictor.return_scale * changes.cpu().double() * valid_steps(lengths, changes.shape[1])[..., None]
