"""Lessons: the finished episodes that the predictor learns from, and the bounded buffer that keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rudder_lrp.episodes.episode import Array, Episode, check_finite
from rudder_lrp.episodes.features import Features, TransitionFeatures, are_sound
from rudder_lrp.storage import DamagedFileError, check_count, check_tensors, read_tensors, write_tensors

_KIND = "lessons 3"


@dataclass(frozen=True, eq=False)
class Lesson:
    """An episode as the predictor sees it: encoded once, with its true rewards.

    Raises:
        ValueError: if the shapes do not fit together, or a value is not finite.
    """

    features: Features
    """Not normalised, `[T, F]`."""
    rewards: Array
    """`[T]`."""

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or not self.rewards.shape == (len(self.features),) != (0,):
            raise ValueError(
                f"a lesson needs features [T, F] and rewards [T] of at least one step, got {self.features.shape} and "
                f"{self.rewards.shape}"
            )
        check_finite(self.rewards)
        if not are_sound(self.features):
            raise ValueError("a feature of the lesson is not finite, or beyond 1e18: mend the environment or clip it")

    @classmethod
    def from_episode(cls, episode: Episode, features: TransitionFeatures) -> Lesson:
        """Encode an episode."""
        return cls(features.encode_episode(episode), episode.rewards)

    def __len__(self) -> int:
        return len(self.rewards)

    @cached_property
    def episode_return(self) -> float:
        """Undiscounted sum of the true rewards."""
        return float(self.rewards.sum())

    @property
    def paid(self) -> Array:
        """Rewards that the features show, `[T]`: all but the last one, which is the answer."""
        return np.append(self.rewards[:-1], 0.0)

    @cached_property
    def outstanding(self) -> Array:
        """What of the return is not yet paid after each step, `[T]`: what there is to predict.

        Summed from the end: what is left of a sum by subtraction is its rounding, too, and an episode that is paid
        nothing late would differ by that from the next one.
        """
        later: Array = np.cumsum(self.rewards[::-1])[::-1]
        return np.append(later[1:], later[-1])


class LessonBatch(NamedTuple):
    """Lessons padded on the right to the longest of them."""

    features: Tensor
    """`[B, T, F]`, zero beyond the length."""
    lengths: Tensor
    """`[B]`, int64."""
    returns: Tensor
    """True undiscounted returns, float64, `[B]`."""
    outstanding: Tensor
    """What of the return is not yet paid after each step, float64, `[B, T]`; the last step's own reward is unpaid."""

    @classmethod
    def collate(cls, lessons: Sequence[Lesson]) -> LessonBatch:
        """Pad and stack lessons."""
        lengths = torch.tensor([len(lesson) for lesson in lessons])
        features = torch.zeros(len(lessons), int(lengths.max()), lessons[0].features.shape[1])
        outstanding = torch.zeros(features.shape[:2], dtype=torch.float64)
        for row, lesson in enumerate(lessons):
            features[row, : len(lesson)] = torch.from_numpy(lesson.features)
            outstanding[row, : len(lesson)] = torch.from_numpy(lesson.outstanding)
        returns = torch.tensor([lesson.episode_return for lesson in lessons], dtype=torch.float64)
        return cls(features, lengths, returns, outstanding)


class LessonBuffer:
    """Keeps at most `capacity` lessons for training and, apart from them, the latest held-out ones.

    One of every `holdout_every` lessons, at random, is held out and never trained on. When the training part is full,
    the oldest lesson makes room, and all are drawn alike: what is expected of a policy is a mean over what it does, and
    a choice of rare or surprising lessons would shift it.

    Args:
        capacity: lessons to train on.
        holdout_every: one lesson of this many is held out.
        holdout_capacity: how many of the latest held-out lessons are kept.
        seed: of the draws.

    Raises:
        ValueError: if a capacity is too small.
    """

    def __init__(self, capacity: int = 512, holdout_every: int = 5, holdout_capacity: int = 64, seed: int = 0) -> None:
        if capacity < 2 or holdout_every < 2 or holdout_capacity < 1:
            raise ValueError(
                f"a lesson buffer needs capacity >= 2, holdout_every >= 2 and holdout_capacity >= 1, "
                f"got {capacity}, {holdout_every}, {holdout_capacity}"
            )
        self.capacity = capacity
        self.holdout_every = holdout_every
        self.holdout_capacity = holdout_capacity
        self.seen = 0
        self.training: list[Lesson] = []
        self.held_out: list[Lesson] = []
        self._seed = seed
        self._drawn = -1, 0
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.training)

    def add(self, lesson: Lesson) -> None:
        """Take in a finished episode."""
        self.seen += 1
        if self._is_held_out(self.seen - 1):
            self.held_out.append(lesson)
            del self.held_out[: -self.holdout_capacity]
            return
        self.training.append(lesson)
        del self.training[: -self.capacity]

    def _is_held_out(self, number: int) -> bool:
        # One at random of each row of them: environments that take turns are all held out from.
        row, at = divmod(number, self.holdout_every)
        if row != self._drawn[0]:
            self._drawn = row, int(np.random.default_rng([self._seed, row]).integers(self.holdout_every))
        return at == self._drawn[1]

    def batches(self, count: int, size: int, most_steps: int | None = None) -> list[NDArray[np.int64]]:
        """Draw `count` batches of indices into `training`.

        A batch holds lessons of similar length, so that little of it is padding; the batches come in random order.

        Args:
            count: of batches.
            size: lessons of a batch.
            most_steps: a batch holds fewer, yet at least two lessons where it would have more steps than this, padding
                included; so the time of an update does not grow with the length of the episodes.
        """
        chosen = self._rng.integers(len(self.training), size=count * size)
        by_length = chosen[np.argsort([len(self.training[index]) for index in chosen], kind="stable")]
        batches = list(self._rng.permutation(by_length.reshape(count, size)))
        return batches if most_steps is None else [self._at_most(batch, most_steps) for batch in batches]

    def _at_most(self, batch: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
        longest = max(len(self.training[index]) for index in batch)
        if longest * len(batch) <= steps:
            return batch
        return self._rng.permutation(batch)[: max(steps // longest, 2)]

    def save(self, path: str | Path) -> Path:
        """Write all lessons, and where the draws have got to, to one safetensors file, atomically."""
        lessons = [*self.training, *self.held_out]
        features = [lesson.features for lesson in lessons]
        width = features[0].shape[1] if features else 0
        tensors = {
            "features": torch.from_numpy(np.concatenate([np.zeros((0, width), np.float32), *features])),
            "rewards": torch.from_numpy(np.concatenate([np.zeros(0), *(lesson.rewards for lesson in lessons)])),
            "lengths": torch.tensor([len(lesson) for lesson in lessons], dtype=torch.int64),
        }
        header = {"seen": self.seen, "held_out": len(self.held_out), "draws": self._rng.bit_generator.state}
        return write_tensors(path, tensors, _KIND, header)

    def load(self, path: str | Path, width: int | None = None) -> None:
        """Take over the lessons of a file in place of the present ones, as far as the capacity reaches.

        Args:
            path: of the file.
            width: how many features the lessons must have; any number, if none is named.

        Raises:
            FileNotFoundError: if there is no such file.
            DamagedFileError: if the file is not as it was written, or says what cannot be.
            ValueError: if the file is of another kind; nothing is changed then, either.
        """
        tensors, header = read_tensors(path, _KIND)
        lessons, held_out = _read_lessons(path, tensors, header, width)
        boundary = len(lessons) - held_out
        seen = check_count(path, header, "seen", least=len(lessons))
        draws = np.random.default_rng()
        try:
            draws.bit_generator.state = header["draws"]
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise DamagedFileError(f"{path}: 'draws' is no state of a random generator; restore it") from error
        self.training = lessons[:boundary][-self.capacity :]
        self.held_out = lessons[boundary:][-self.holdout_capacity :]
        self.seen = seen
        self._rng = draws

    def empty_copy(self) -> LessonBuffer:
        """A buffer of the same capacity without lessons."""
        return LessonBuffer(self.capacity, self.holdout_every, self.holdout_capacity, self._seed)

    def adopt(self, other: LessonBuffer) -> None:
        """Take over the lessons and draws of another buffer in place of the present ones."""
        vars(self).update(vars(other))


def _read_lessons(
    path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any], width: int | None
) -> tuple[list[Lesson], int]:
    lengths = tensors.get("lengths", torch.zeros(0, dtype=torch.int64))
    steps = sum(lengths.tolist()) if lengths.dtype == torch.int64 and lengths.ndim == 1 else -1
    if steps < 0 or (len(lengths) and int(lengths.min()) < 1):
        raise DamagedFileError(f"{path}: 'lengths' are no lengths of lessons; restore it")
    held_out = check_count(path, header, "held_out", most=len(lengths))
    columns = tensors["features"].shape[-1] if "features" in tensors and tensors["features"].ndim else 0
    if width is not None and len(lengths):
        columns = width
    expected = {
        "features": torch.empty(steps, columns, device="meta"),
        "rewards": torch.empty(steps, dtype=torch.float64, device="meta"),
        "lengths": lengths,
    }
    check_tensors(path, tensors, expected)
    features, rewards = (tensors[name].split(lengths.tolist()) for name in ("features", "rewards"))
    pairs = zip(features, rewards, strict=True)
    return [Lesson(x.numpy().copy(), r.numpy().copy()) for x, r in pairs], held_out
