"""A return predictor that keeps learning from the episodes it is shown."""

from __future__ import annotations

import logging
from collections import deque

from rudder_lrp.episodes import Array
from rudder_lrp.lessons import Lesson, LessonBuffer
from rudder_lrp.predictor import ReturnPredictor
from rudder_lrp.training import NO_QUALITY, Quality, Trainer, TrainingConfig

logger = logging.getLogger(__name__)


class OnlinePredictor:
    """A predictor with its lessons and its trainer; says how far its redistribution is to be trusted.

    Args:
        predictor: trained in place.
        lessons: where finished episodes go.
        training: how one round of training looks.
        train_every: environment steps between two rounds.
        min_lessons: no training before there are so many.
        trust_threshold: a held-out explained variance below this one counts as no trust at all.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        predictor: ReturnPredictor,
        lessons: LessonBuffer,
        training: TrainingConfig | None = None,
        *,
        train_every: int = 2048,
        min_lessons: int = 32,
        trust_threshold: float = 0.2,
    ) -> None:
        if train_every < 1 or min_lessons < 2 or not 0.0 <= trust_threshold <= 1.0:
            raise ValueError(
                "train_every must be at least 1, min_lessons at least 2 and trust_threshold within [0, 1], "
                f"got {train_every}, {min_lessons} and {trust_threshold}"
            )
        self.predictor = predictor
        self.lessons = lessons
        self.trainer = Trainer(predictor, training)
        self.train_every = train_every
        self.min_lessons = min_lessons
        self.trust_threshold = trust_threshold
        self.quality: Quality = NO_QUALITY
        """Of the latest round, on held-out lessons."""
        self.version = 0
        """Rounds of training so far: rewards computed at an earlier version are out of date."""
        # Bounded: without variation among the returns no round ever comes to empty it.
        self._fresh: deque[Lesson] = deque(maxlen=lessons.capacity)
        self._next_round = train_every
        self._told_of_equal_returns = False

    @property
    def q(self) -> float:
        """Weight of the redistributed reward in the mixture that the agent gets, within [0, 1]."""
        return self.quality.q if self.quality.q >= self.trust_threshold else 0.0

    def mix(self, redistributed: Array, original: Array) -> Array:
        """`q * redistributed + (1 - q) * original`; both sum to an episode's return, so the mixture does too."""
        return self.q * redistributed + (1.0 - self.q) * original

    def observe(self, lesson: Lesson) -> None:
        """Take in a finished episode."""
        self.lessons.add(lesson)
        self._fresh.append(lesson)

    def train_if_due(self, steps: int) -> bool:
        """Train a round if `train_every` environment steps have passed since the last; true if it did."""
        if steps < self._next_round or len(self.lessons) < self.min_lessons:
            return False
        self._next_round = steps + self.train_every
        if not self.lessons.returns_vary:
            self._tell_of_equal_returns()
            return False
        for lesson in self._fresh:
            self.predictor.normalizer.update(lesson.features)
        self._fresh.clear()
        self.quality = self.trainer.train(self.lessons)
        self.version += 1
        return True

    def _tell_of_equal_returns(self) -> None:
        if not self._told_of_equal_returns:
            logger.warning(
                "all %d lessons have the same return (%g): nothing to redistribute yet, the agent keeps the "
                "environment's own reward; more exploration would help",
                len(self.lessons),
                self.lessons.training[0].episode_return,
            )
            self._told_of_equal_returns = True
