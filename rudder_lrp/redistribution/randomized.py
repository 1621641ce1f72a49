"""Randomized return decomposition: a reward for single steps, learnt from random subsets of an episode's steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.features import RunningNormalizer, TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.lrp.sequences import valid_steps
from rudder_lrp.redistribution.base import Redistributor, Residual


@dataclass(frozen=True)
class RandomizedConfig:
    """How the reward model is built and trained; the defaults are those of Ren et al. 2022.

    Raises:
        ValueError: if a number is out of range.
    """

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of the hidden layers."""
    learning_rate: float = 3e-4
    """Of Adam."""
    subset: int = 64
    """Steps K of an episode that an update looks at, at most, drawn without replacement."""
    batch_size: int = 4
    """Episodes of an update."""
    unbiased: bool = False
    """Take off what drawing a subset adds to the squared error. Left in, it is a penalty on the variance of rewards
    within an episode."""

    def __post_init__(self) -> None:
        if self.subset < 2 or self.batch_size < 1 or min(self.hidden_sizes, default=1) < 1:
            raise ValueError(
                f"subset must be at least 2, batch_size and hidden_sizes at least 1, got {self.subset}, "
                f"{self.batch_size} and {self.hidden_sizes}"
            )


class RandomizedRedistributor(Redistributor):
    """A reward model `r(features of a step)` whose sum over an episode is the return (Ren et al. 2022).

    It is trained on the mean reward of an episode, `G / T`, estimated from a random subset of its steps. What the
    model's rewards miss of an episode's return is spread evenly by default; the method itself leaves it out. Unlike
    there, features are normalised, and rewards are counted from the mean step's, in units of the returns' deviation.

    Args:
        features: how transitions are encoded; the next observation, its change and the action are among them.
        residual: which steps take what is left of the true return.
        config: see `RandomizedConfig`.
        seed: of weights and subsets; the global random state is left alone.
    """

    def __init__(
        self,
        features: TransitionFeatures,
        residual: Residual | str = Residual.SPREAD,
        *,
        config: RandomizedConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(features, residual)
        self.config = config or RandomizedConfig()
        self.level, self.scale = 0.0, 1.0
        self.normalizer = RunningNormalizer(len(features))
        self._rng = np.random.default_rng([seed, 3])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = _network((len(features), *self.config.hidden_sizes, 1))
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=self.config.learning_rate)

    @property
    def causal(self) -> bool:
        """Never: the residual is known at the end."""
        return False

    def fit(self, episodes: Sequence[Episode | Lesson], updates: int = 1000) -> None:
        """Train on finished episodes, drawn uniformly; may be called again and again.

        Raises:
            ValueError: if there are none.
        """
        lessons = self.lessons(episodes)
        if not lessons:
            raise ValueError("no episodes to learn from; give at least one")
        self.normalizer.update(np.concatenate([lesson.features for lesson in lessons]))
        returns, steps = np.array([(lesson.episode_return, len(lesson)) for lesson in lessons]).T
        self.level = float(returns.mean() / steps.mean())
        self.scale = float(np.std(returns - self.level * steps) / steps.mean()) or 1.0
        for chosen in self._rng.integers(len(lessons), size=(updates, self.config.batch_size)):
            loss = torch.stack([self._error(lessons[index]) for index in chosen]).mean()
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()

    def _error(self, lesson: Lesson) -> Tensor:
        steps = np.sort(self._rng.permutation(len(lesson))[: self.config.subset])
        sampled = self._above_level(torch.from_numpy(lesson.features[steps]))
        error = unbiased_error if self.config.unbiased else mean_error
        return error(sampled, len(lesson), (lesson.episode_return - self.level * len(lesson)) / self.scale)

    def _above_level(self, features: Tensor) -> Tensor:
        """What steps `[..., F]` earn above the level of the mean step, in units of the scale."""
        rewards: Tensor = self.model(self.normalizer(features))[..., 0]
        return rewards

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`: the model's rewards."""
        return (self.level + self.scale * self._above_level(features)) * valid_steps(lengths, features.shape[1])


def _network(sizes: Sequence[int]) -> nn.Sequential:
    layers = [layer for size in pairwise(sizes) for layer in (nn.Linear(*size), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def mean_error(sampled: Tensor, steps: int, episode_return: float) -> Tensor:
    """`(G / T - mean of the sampled rewards)^2`, from K of an episode's T steps.

    In expectation larger than with all steps by the variance of the sampled mean, `(1 - K/T) s^2 / K`.
    """
    return (episode_return / steps - sampled.mean()).square()


def unbiased_error(sampled: Tensor, steps: int, episode_return: float) -> Tensor:
    """The same without that variance, estimated from steps that were drawn without replacement."""
    size = len(sampled)
    squared = mean_error(sampled, steps, episode_return)
    if size == steps or size < 2:
        return squared
    return squared - (1.0 - size / steps) / size * sampled.var()
