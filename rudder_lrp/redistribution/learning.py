"""Redistributors that learn from the lessons by themselves, in place of the wrapper's return predictor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.features import TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.prediction.ranges import check_numbers
from rudder_lrp.redistribution.base import Redistributor, Residual, Rewards

_FIRST_ROUNDS = 20


@dataclass(frozen=True)
class Cadence:
    """How often a redistributor learns while an agent plays.

    Raises:
        ValueError: if a number is out of range.
    """

    train_every: int = 250
    """Environment steps between two rounds; after each, the rewards of all episodes are out of date."""
    min_lessons: int = 4
    """No round before there are so many."""

    def __post_init__(self) -> None:
        check_numbers(self, whole=("train_every", "min_lessons"), least=1)


class LearningRedistributor(Redistributor):
    """Needs no return predictor: it is taught with the lessons that the wrapper collects, as the agent learns.

    What it hands out is not held back by a trust: until it has learnt, and for all it cannot tell, its residual says
    where the return goes.

    Args:
        features: how transitions are encoded.
        residual: which steps take what is left of the true return.
        cadence: how often it learns.
    """

    def __init__(
        self,
        features: TransitionFeatures,
        residual: Residual | str = Residual.SPREAD,
        *,
        cadence: Cadence | None = None,
    ) -> None:
        super().__init__(features, residual)
        self.cadence = cadence or Cadence()
        self.version = 0
        """Rounds so far: rewards computed at an earlier version are out of date."""
        self._steps = 0

    @property
    def causal(self) -> bool:
        """Never: the residual is known at the end."""
        return False

    @abstractmethod
    def fit(self, episodes: Sequence[Episode | Lesson]) -> None:
        """Learn from these finished episodes.

        Raises:
            ValueError: if there are none.
        """

    def trusted(self, lessons: Sequence[Lesson], trust: float) -> list[Rewards]:
        """All it redistributes: the trust is that of a return predictor, which it does without."""
        return self.redistribute(lessons)

    def learn(self, lessons: LessonBuffer, steps: int) -> None:
        """Learn from all lessons there are, if it is time.

        Args:
            lessons: of the wrapper.
            steps: environment steps that were taken since this was last called.
        """
        self._steps += steps
        known = [*lessons.training, *lessons.held_out]
        if self._steps < self.cadence.train_every or len(known) < self.cadence.min_lessons:
            return
        self._steps = 0
        # One that begins has all to learn at once: few lessons at the start of a run, many where a run is resumed.
        for _ in range(1 if self.version else min(len(known), _FIRST_ROUNDS)):
            self.fit(known)
        self.version += 1
