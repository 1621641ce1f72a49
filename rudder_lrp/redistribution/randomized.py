"""Randomized return decomposition: a reward for single steps, learnt from random subsets of an episode's steps."""

from __future__ import annotations

import sys
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
from rudder_lrp.prediction.denormals import flushed_denormals
from rudder_lrp.prediction.ranges import check_numbers
from rudder_lrp.prediction.subsets import Subsets
from rudder_lrp.redistribution.base import Residual
from rudder_lrp.redistribution.learning import Cadence, LearningRedistributor


@dataclass(frozen=True)
class RandomizedConfig:
    """How a reward model is trained; the defaults, but for the first two, are those of Ren et al. 2022.

    Raises:
        ValueError: if a number is out of range.
    """

    normalized: bool = True
    """Whether features and returns are normalised; not in the paper."""
    weight_decay: float = 1e-2
    """L2, none in the paper. It is what keeps a model from learning a few dozen episodes by heart."""
    learning_rate: float = 3e-4
    """Of Adam."""
    subset: int = 64
    """Steps K of an episode that an update looks at, at most, drawn without replacement."""
    batch_size: int = 4
    """Episodes of an update."""
    updates: int = 250
    """Gradient steps of one round."""
    unbiased: bool = False
    """Take off what drawing a subset adds to the squared error. Left in, it is a penalty on the variance of rewards
    within an episode."""

    def __post_init__(self) -> None:
        check_numbers(self, whole=("subset",), least=2)
        check_numbers(self, whole=("batch_size", "updates"), least=1)
        check_numbers(self, real=("weight_decay",))
        check_numbers(self, real=("learning_rate",), least=sys.float_info.min)


class RandomizedRedistributor(LearningRedistributor):
    """A reward model `r(features of a step)` whose sum over an episode is the return (Ren et al. 2022).

    It is trained on the mean reward of an episode, `G / T`, estimated from a random subset of its steps. What the
    model's rewards miss of an episode's return is spread evenly by default; the method itself leaves it out. Unlike
    there, features are normalised, and rewards are counted from the mean step's, in units of the returns' deviation.

    Args:
        features: how transitions are encoded; the next observation, its change and the action are among them.
        residual: which steps take what is left of the true return.
        config: see `RandomizedConfig`.
        hidden_sizes: units of the hidden layers.
        cadence: how often it learns while an agent plays.
        seed: of weights and subsets; the global random state is left alone.

    Raises:
        ValueError: if a hidden layer has no unit.
    """

    def __init__(
        self,
        features: TransitionFeatures,
        residual: Residual | str = Residual.SPREAD,
        *,
        config: RandomizedConfig | None = None,
        hidden_sizes: tuple[int, ...] = (256, 256),
        cadence: Cadence | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(features, residual, cadence=cadence)
        if min(hidden_sizes, default=1) < 1:
            raise ValueError(f"hidden_sizes must be at least 1, got {hidden_sizes}")
        self.config = config or RandomizedConfig()
        self.level, self.scale = 0.0, 1.0
        self.normalizer = RunningNormalizer(len(features))
        self._rng = np.random.default_rng([seed, 3])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = (len(features), *hidden_sizes, 1)
            layers = [layer for size in pairwise(sizes) for layer in (nn.Linear(*size), nn.ReLU())]
            self.model = nn.Sequential(*layers[:-1])
        rate, decay = self.config.learning_rate, self.config.weight_decay
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=rate, weight_decay=decay, fused=True)

    def fit(self, episodes: Sequence[Episode | Lesson], updates: int | None = None) -> None:
        """Train on finished episodes, drawn uniformly; may be called again and again.

        Args:
            episodes: all there are to learn from.
            updates: gradient steps; as many as the config says, if none are named.

        Raises:
            ValueError: if there are no episodes.
        """
        lessons = self.lessons(episodes)
        if not lessons:
            raise ValueError("no episodes to learn from; give at least one")
        if self.config.normalized:
            self._normalize(lessons)
        count = self.config.updates if updates is None else updates
        with flushed_denormals():
            for chosen in self._rng.integers(len(lessons), size=(count, self.config.batch_size)):
                self._update([lessons[index] for index in chosen])

    def _normalize(self, lessons: Sequence[Lesson]) -> None:
        self.normalizer = RunningNormalizer(len(self.features))
        self.normalizer.update(np.concatenate([lesson.features for lesson in lessons]))
        returns, steps = np.array([(lesson.episode_return, len(lesson)) for lesson in lessons]).T
        self.level = float(returns.sum() / steps.sum())
        self.scale = float(np.std(returns - self.level * steps) / steps.mean()) or 1.0

    def _update(self, lessons: Sequence[Lesson]) -> None:
        subsets = Subsets.draw(lessons, self.config.subset, self._rng)
        returns = torch.tensor([lesson.episode_return - self.level * len(lesson) for lesson in lessons])
        error = subsets.unbiased_error if self.config.unbiased else subsets.mean_error
        loss = error(self._above_level(subsets.features), returns / self.scale).mean()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()

    def _above_level(self, features: Tensor) -> Tensor:
        """What steps `[..., F]` earn above the level of the mean step, in units of the scale."""
        rewards: Tensor = self.model(self.normalizer(features))[..., 0]
        return rewards

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`: the model's rewards."""
        above = self._above_level(features).double()
        return (self.level + self.scale * above) * valid_steps(lengths, features.shape[1])
