"""Gymnasium spaces to feature vectors: a transition becomes `[F]`, an episode `[T, F]`.

A transition is encoded as the observation after the step, its change during the step, the action and the reward
paid, so that what an action did is visible at its own step, and not one step late. The reward of the last step is left
out: where reward comes late it is the very answer that the earlier steps are to predict.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from rudder_lrp.episodes.episode import Array, Episode, Observations, Transitions, as_array
from rudder_lrp.episodes.images import ImageColumns, grid_names, grid_shape, is_image, pool

Features = NDArray[np.float32]

logger = logging.getLogger(__name__)

_LARGEST = 1e18  # the square of what is larger overflows in float32
_MANY = 8192  # several images have fewer
_CLIP = 10.0  # standard deviations; keeps one rare outlier from saturating every cell


def are_sound(features: Features) -> bool:
    """Whether all features are finite, and small enough that their variance is, too."""
    return bool((np.abs(features) < _LARGEST).all())


def flatten(space: spaces.Space[Any], values: Observations) -> NDArray[Any]:
    """Flatten N values of a space to `[N, F]`; discrete ones become one-hot, images a grid.

    In float64 where the values are too fine for float32, so that small changes of large ones can be told.

    Raises:
        TypeError: if the space is not supported.
        ValueError: if the values are no numbers of its shape, or a discrete one is outside of it.
    """
    if isinstance(space, spaces.Dict):
        return np.concatenate([flatten(part, values[key]) for key, part in space.items()], axis=1)
    if isinstance(space, spaces.Tuple):
        return np.concatenate([flatten(part, v) for part, v in zip(space, values, strict=True)], axis=1)
    array = _checked(space, as_array(values))
    if isinstance(space, spaces.Discrete):
        return _one_hot(space, array.reshape(-1) - space.start, int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        columns = array.reshape(len(array), -1) - space.start.reshape(-1)
        return np.concatenate(
            [_one_hot(space, c, int(n)) for c, n in zip(columns.T, space.nvec.flat, strict=True)], axis=1
        )
    if isinstance(space, spaces.Box) and is_image(space):
        return pool(space, array)
    return array.reshape(len(array), -1).astype(np.result_type(array.dtype, np.float32))


def _checked(space: spaces.Space[Any], rows: Array) -> Array:
    """Refuse what are no numbers, or not as many a row as the space has."""
    if rows.dtype.kind not in "biuf" or rows.ndim == 0 or rows.size != len(rows) * math.prod(space.shape or ()):
        raise ValueError(
            f"found values of shape {rows.shape[1:]} and type {rows.dtype} where the space is {space}; let the "
            "environment return numbers of that shape, or mend its space"
        )
    return rows


def _one_hot(space: spaces.Space[Any], indices: NDArray[Any], size: int) -> Features:
    rows = indices[:, None] == np.arange(size)
    outside = np.flatnonzero(~rows.any(axis=1))
    if len(outside):
        raise ValueError(
            f"value {indices[outside[0]]} at row {outside[0]}, counted from the start of {space}, is outside of it; "
            "record what the environment took, or mend its space"
        )
    one_hot: Features = rows.astype(np.float32)
    return one_hot


def feature_names(space: spaces.Space[Any], prefix: str) -> list[str]:
    """Name the columns of `flatten`, for tables and heat maps.

    Raises:
        TypeError: if the space is not supported, naming it and what is.
    """
    if isinstance(space, spaces.Dict) and len(space):
        return [name for key, part in space.items() for name in feature_names(part, f"{prefix}.{key}")]
    if isinstance(space, spaces.Tuple) and len(space):
        return [name for at, part in enumerate(space) for name in feature_names(part, f"{prefix}.{at}")]
    if isinstance(space, spaces.Discrete):
        return [f"{prefix}={value + space.start}" for value in range(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [f"{prefix}[{at}]={value}" for at, n in enumerate(space.nvec.flat) for value in range(n)]
    if isinstance(space, spaces.Box) and is_image(space):
        return grid_names(space, prefix)
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        size = math.prod(space.shape)
        return [prefix] if size == 1 else [f"{prefix}[{at}]" for at in range(size)]
    raise TypeError(
        f"space {space} is not supported; supported are Box, Discrete, MultiDiscrete, MultiBinary and Dict or Tuple of "
        "these, not empty: wrap the environment so that it returns one of them"
    )


def _image_shapes(space: spaces.Space[Any], start: int = 0) -> dict[int, tuple[int, int, int]]:
    """The grids among the columns of `flatten`: shape by first column."""
    found: dict[int, tuple[int, int, int]] = {}
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for part in space.values() if isinstance(space, spaces.Dict) else space:
            found |= _image_shapes(part, start)
            start += len(feature_names(part, ""))
    elif isinstance(space, spaces.Box) and is_image(space):
        found[start] = grid_shape(space)
    return found


class Encoding(StrEnum):
    """What of the observations a transition shows."""

    FULL = "full"
    """The observation after the step, and its change during the step."""
    CHANGES = "changes"
    """Its change alone, at the first step counted from nothing, as in RUDDER's demonstration code.

    What never changes is seen once. Then no later step can earn credit for it: fit for observations that are counts
    and categories.
    """


class TransitionFeatures:
    """Encodes transitions of one pair of spaces: next observation, its change, action, reward unless it is the last.

    Args:
        observation_space: any of Box (images included), Discrete, MultiDiscrete, MultiBinary, Dict, Tuple.
        action_space: the same.
        encoding: what of the observations is shown.

    Raises:
        TypeError: if a space is not supported.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        encoding: Encoding | str = Encoding.FULL,
    ) -> None:
        self.observation_space = observation_space
        self.action_space = action_space
        self.encoding = Encoding(encoding)
        self.names = [
            *(feature_names(observation_space, "obs") if self.encoding is Encoding.FULL else []),
            *feature_names(observation_space, "change"),
            *feature_names(action_space, "action"),
            "reward",
        ]
        if len(self) > _MANY:
            logger.warning(
                "these spaces make %d features a step, more than an LSTM is likely to learn from; wrap the environment "
                "in one that shows less",
                len(self),
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def images(self) -> list[ImageColumns]:
        """The images of the observation among the features, each with its change."""
        offsets = [0]
        if self.encoding is Encoding.FULL:
            offsets.append(len(feature_names(self.observation_space, "")))
        shapes = _image_shapes(self.observation_space)
        return [ImageColumns(tuple(offset + at for offset in offsets), shape) for at, shape in shapes.items()]

    def check_spaces(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        """Refuse an environment with other spaces.

        Raises:
            ValueError: naming both spaces.
        """
        for name, own, other in (
            ("observation", self.observation_space, observation_space),
            ("action", self.action_space, action_space),
        ):
            if own != other:
                raise ValueError(
                    f"the predictor was made for the {name} space {own}, the environment has {other}; "
                    "build or load a predictor for this environment"
                )

    def encode(self, transitions: Transitions) -> Features:
        """Encode N transitions to `[N, F]`, not yet normalised.

        Raises:
            ValueError: if an observation, action or reward is not finite, naming the feature.
        """
        before = flatten(self.observation_space, transitions.observations)
        after = flatten(self.observation_space, transitions.next_observations)
        actions = flatten(self.action_space, transitions.actions)
        reward = np.where(transitions.last, 0.0, transitions.rewards)[:, None]
        if self.encoding is Encoding.FULL:
            parts = [after, after - before, actions, reward]
        else:
            before[transitions.first] = 0.0
            parts = [after - before, actions, reward]
        with np.errstate(over="ignore"):  # what is infinite in float32 is named below
            features = np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")
        if not are_sound(features):
            row, column = np.argwhere(~(np.abs(features) < _LARGEST))[0]
            raise ValueError(
                f"feature {self.names[column]} of transition {row} is {features[row, column]}: observations, actions "
                f"and rewards must be finite and within {_LARGEST:g}; mend the environment or wrap it in a transform "
                "that clips them"
            )
        return features

    def encode_episode(self, episode: Episode) -> Features:
        """Encode an episode to `[T, F]`."""
        return self.encode(episode.transitions())


class RunningNormalizer(nn.Module):
    """Standardises features by the running mean and variance of what it was shown; saved with the model."""

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def move_(self, device: torch.device) -> None:
        """Normalise there, in place; the count stays in float64, which not every device has."""
        self.mean, self.variance = self.mean.to(device), self.variance.to(device)

    def update(self, rows: Features) -> None:
        """Merge the statistics of `[N, F]` rows."""
        self._merge(rows.mean(axis=0), rows.var(axis=0), float(len(rows)))

    def merge(self, other: RunningNormalizer) -> None:
        """Merge the statistics of what another one was shown."""
        if other.count > 0:
            self._merge(other.mean.cpu().numpy(), other.variance.cpu().numpy(), float(other.count))

    def _merge(self, mean: Features, variance: Features, count: float) -> None:
        # Chan et al.'s parallel variance; in NumPy, since every finished episode comes by here.
        share = count / (count + float(self.count))
        own_mean, own_variance = self.mean.cpu().numpy(), self.variance.cpu().numpy()
        delta = mean - own_mean
        spread = delta * delta * share * (1.0 - share)
        self.variance.copy_(torch.from_numpy(own_variance + share * (variance - own_variance) + spread))
        self.mean.copy_(torch.from_numpy(own_mean + share * delta))
        self.count += count

    def forward(self, features: Tensor) -> Tensor:
        """Normalise `[..., F]`; features that never varied come out as zero or their plain deviation."""
        return ((features - self.mean) * self._scale()).clamp(-_CLIP, _CLIP)

    def in_numpy(self) -> Callable[[Features], Features]:
        """The same for the few rows `[N, F]` of one step: what it is now, without PyTorch."""
        mean, scale = self.mean.cpu().numpy().copy(), self._scale().cpu().numpy()
        return lambda rows: ((rows - mean) * scale).clip(-_CLIP, _CLIP)

    def _scale(self) -> Tensor:
        return torch.where(self.variance > 1e-8, self.variance, 1.0).rsqrt()
