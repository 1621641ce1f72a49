"""Randomized return decomposition: a reward for single steps, learnt from random subsets of an episode's steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.episodes.features import RunningNormalizer
from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.prediction.training import TrainingConfig


class RandomizedDecomposition:
    """A model `r(features of a step)` whose sum over an episode is the return (Ren et al. 2022).

    Args:
        config: number of updates of a round, batch size and learning rate; the rest is not used.
        seed: of weights and subsets.
        hidden_size: units of the hidden layer.
        subset: steps K of an episode that an update looks at, at most.
    """

    def __init__(self, config: TrainingConfig, seed: int, hidden_size: int = 64, subset: int = 64) -> None:
        self.config, self.hidden_size, self.subset, self.seed = config, hidden_size, subset, seed
        self.trained = False
        self._rng = np.random.default_rng([seed, 3])

    def _build(self, features: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.normalizer = RunningNormalizer(features)
            self.model = nn.Sequential(nn.Linear(features, self.hidden_size), nn.ReLU(), nn.Linear(self.hidden_size, 1))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.config.learning_rate)

    def train(self, lessons: LessonBuffer) -> None:
        """Do a round of gradient steps on the training part."""
        if not self.trained:
            self._build(lessons.training[0].features.shape[1])
        self.trained = True
        self.normalizer.update(np.concatenate([lesson.features for lesson in lessons.training]))
        self.scale = float(np.std([lesson.episode_return for lesson in lessons.training])) or 1.0
        for chosen in lessons.batches(self.config.updates, self.config.batch_size):
            errors = self._errors([lessons.training[index] for index in chosen])
            self.optimizer.zero_grad()
            errors.mean().backward()
            self.optimizer.step()

    def _errors(self, lessons: list[Lesson]) -> Tensor:
        """Estimated squared errors of the lessons, `[B]`."""
        drawn = [np.sort(self._rng.permutation(len(lesson))[: self.subset]) for lesson in lessons]
        rows = np.concatenate([lesson.features[steps] for lesson, steps in zip(lessons, drawn, strict=True)])
        sampled = self._of(rows).split([len(steps) for steps in drawn])
        return torch.stack(
            [
                unbiased_error(rewards, len(lesson), lesson.episode_return / self.scale)
                for rewards, lesson in zip(sampled, lessons, strict=True)
            ]
        )

    def _of(self, features: np.ndarray) -> Tensor:
        rewards: Tensor = self.model(self.normalizer(torch.from_numpy(features)))[:, 0]
        return rewards

    @torch.no_grad()
    def rewards(self, lesson: Lesson) -> np.ndarray:
        """Rewards of the steps, `[T]`."""
        return self.scale * self._of(lesson.features).double().numpy()

    def explained_variance(self, lessons: list[Lesson]) -> float:
        """Share of the variance of the returns that the sums of the rewards explain."""
        returns = np.array([lesson.episode_return for lesson in lessons])
        errors = returns - [self.rewards(lesson).sum() for lesson in lessons]
        return 1.0 - float(np.square(errors).mean() / returns.var()) if returns.var() else float("-inf")


def unbiased_error(sampled: Tensor, steps: int, episode_return: float) -> Tensor:
    """Estimate of `(G - sum of all rewards)^2` from those of K of an episode's T steps, drawn without replacement.

    The square of the estimated sum is too large by the variance of that estimate, `T^2 (1 - K/T) s^2 / K`, which is
    taken off: the unbiased loss of Ren et al. 2022.
    """
    size = len(sampled)
    squared = (episode_return - steps * sampled.mean()).square()
    if size == steps or size < 2:
        return squared
    return squared - steps**2 * (1.0 - size / steps) / size * sampled.var()
