"""A return predictor that keeps learning from the episodes it is shown."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rudder_lrp.episodes.episode import Array, Episode
from rudder_lrp.episodes.features import RunningNormalizer
from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.quality import NO_QUALITY, Quality
from rudder_lrp.prediction.ranges import check_numbers
from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.prediction.training import Trainer
from rudder_lrp.prediction.training_config import DEFAULT_TRAINING, TrainingConfig
from rudder_lrp.storage import check_count, check_tensors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OnlineConfig:
    """How a predictor keeps learning, and when it is trusted.

    Raises:
        ValueError: if a number is out of range.
    """

    training: TrainingConfig = DEFAULT_TRAINING
    """One round of training."""
    train_every: int = 2048
    """Environment steps between two rounds, at least."""
    growth: float = 1.2
    """No round before there are so many times the lessons of the last one, or so many times their steps, or all that
    are kept are new: until then a round would learn little else. Where an agent learns to last longer, a few long
    lessons tell more of its policy than many short ones did."""
    min_lessons: int = 32
    """No training before there are so many."""
    gated: bool = True
    """Whether the redistributed reward is handed out only as far as held-out lessons bear the predictor out; else all
    of it from the first round on. A few long episodes say too little of whether a few dozen others have taught enough,
    and where what is left unexplained is spread evenly, an even reward is what there is to fall back on anyway."""

    def __post_init__(self) -> None:
        check_numbers(self, whole=("train_every",), real=("growth",), least=1)
        check_numbers(self, whole=("min_lessons",), least=2)


class OnlinePredictor:
    """A predictor with its lessons and its trainer; says how far its redistribution is to be trusted.

    Args:
        predictor: trained in place.
        lessons: where finished episodes go.
        config: how it learns.
    """

    def __init__(self, predictor: ReturnPredictor, lessons: LessonBuffer, config: OnlineConfig | None = None) -> None:
        self.predictor = predictor
        self.lessons = lessons
        self.config = config or OnlineConfig()
        self.trainer = Trainer(predictor, self.config.training)
        self.learns = True
        """Whether the predictor is trained; not, where a redistributor needs the lessons alone."""
        self.listeners: list[Callable[[Lesson], None]] = []
        """Told of each lesson as soon as it is finished, before anything is trained on it."""
        self.quality: Quality = NO_QUALITY
        """Of the latest round, on held-out lessons."""
        self.version = 0
        """Rounds of training so far: rewards computed at an earlier version are out of date."""
        # The normalisation of a running episode must not change, so it learns of new lessons between rounds only.
        self._unseen = RunningNormalizer(len(predictor.features))
        self._steps = 0
        self._next_round = self.config.train_every
        self._next_lessons = 0
        self._lesson_steps = 0
        self._next_lesson_steps = 0
        self._told_of_nothing = False

    @property
    def q(self) -> float:
        """Weight of the redistributed reward in the mixture that the agent gets, within [0, 1]: the trust."""
        return self.quality.q if self.config.gated else float(self.version > 0)

    def mix(self, redistributed: Array, original: Array) -> Array:
        """`q * redistributed + (1 - q) * original`; both sum to an episode's return, so the mixture does too."""
        return self.q * redistributed + (1.0 - self.q) * original

    def observe(self, lesson: Lesson) -> None:
        """Take in a finished episode, and tell the listeners."""
        self.recall(lesson)
        for tell in self.listeners:
            tell(lesson)

    @plain_torch()
    def recall(self, lesson: Lesson) -> None:
        """Take in an episode that was written down when it was finished."""
        self.lessons.add(lesson)
        self._lesson_steps += len(lesson)
        self._unseen.update(lesson.features)

    def teach(self, episodes: Iterable[Episode]) -> int:
        """Take in episodes from elsewhere, such as demonstrations; return how many there were."""
        before = self.lessons.seen
        for episode in episodes:
            self.observe(Lesson.from_episode(episode, self.predictor.features))
        return self.lessons.seen - before

    def train_if_due(self, steps: int) -> bool:
        """Train a round if `train_every` environment steps have passed since the last; true if it did."""
        self._steps = steps
        if not self.learns or steps < self._next_round or len(self.lessons) < self.config.min_lessons:
            return False
        news = self.lessons.seen >= self._next_lessons or self._lesson_steps >= self._next_lesson_steps
        return news and self._train(steps)

    @plain_torch()
    def _train(self, steps: int) -> bool:
        self._next_round = steps + self.config.train_every
        if nothing := self.trainer.nothing_to_predict(self.lessons):
            self._tell_once(nothing)
            return False
        self.predictor.normalizer.merge(self._unseen)
        self._unseen = RunningNormalizer(len(self.predictor.features))
        self.quality = self.trainer.train(self.lessons)
        self.version += 1
        seen = self.lessons.seen
        self._next_lessons = min(math.ceil(self.config.growth * seen), seen + self.lessons.capacity)
        self._next_lesson_steps = math.ceil(self.config.growth * self._lesson_steps)
        return True

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and counters to be saved beside predictor and lessons, to go on as if nothing had happened."""
        moments = self.trainer.optimizer.state_dict()["state"]
        tensors = {f"adam.{at}.{name}": value for at, state in moments.items() for name, value in state.items()}
        tensors |= {f"unseen.{name}": value for name, value in self._unseen.state_dict().items()}
        counters = {
            "version": self.version,
            "quality": self.quality,
            "until_round": self._next_round - self._steps,
            "until_lessons": self._next_lessons,
            "lesson_steps": self._lesson_steps,
            "until_lesson_steps": self._next_lesson_steps,
            "rounds": self.trainer.rounds,
        }
        return tensors, counters

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Take over what `state` returned.

        Raises:
            KeyError, TypeError or ValueError: if a part is missing, or says what cannot be; try it on a copy first.
        """
        moments: dict[int, dict[str, Tensor]] = {}
        for key in tensors:
            if key.startswith("adam."):
                _, at, name = key.split(".")
                moments.setdefault(int(at), {})[name] = tensors[key]
        optimizer = self.trainer.optimizer
        self._check_state(tensors, counters, moments)
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
        self._unseen.load_state_dict({name: tensors[f"unseen.{name}"] for name in self._unseen.state_dict()})
        self.trainer.rounds = counters["rounds"]
        self.version, self.quality = counters["version"], Quality(*counters["quality"])
        self._next_round = self._steps + counters["until_round"]
        self._next_lessons = counters["until_lessons"]
        self._lesson_steps, self._next_lesson_steps = counters["lesson_steps"], counters["until_lesson_steps"]

    def _check_state(
        self, tensors: dict[str, Tensor], counters: dict[str, Any], moments: dict[int, dict[str, Tensor]]
    ) -> None:
        parameters = self.trainer.optimizer.param_groups[0]["params"]
        expected = {f"unseen.{name}": value for name, value in self._unseen.state_dict().items()}
        for at, of_parameter in moments.items():
            own = parameters[at]
            shapes = {"step": torch.zeros(()), "exp_avg": own, "exp_avg_sq": own}
            expected |= {f"adam.{at}.{name}": shapes[name] for name in of_parameter.keys() | shapes.keys()}
        check_tensors("training", tensors, expected)
        scales = [value for name, value in tensors.items() if not name.endswith(("exp_avg", "mean"))]
        if any((value < 0.0).any() for value in scales):
            raise ValueError("a variance or count is negative")
        for at, of_parameter in moments.items():
            # |m| <= 7.3 sqrt(v) for Adam's decay rates (Cauchy-Schwarz); what is beyond would throw the weights away.
            if (of_parameter["exp_avg"].abs() > 8.0 * of_parameter["exp_avg_sq"].sqrt() + 1e-18).any():
                raise ValueError(f"the moments of parameter {at} do not fit together")
        for name in ("version", "rounds", "until_lessons", "lesson_steps", "until_lesson_steps"):
            check_count("training", counters, name)
        check_count("training", counters, "until_round", least=-(2**62), most=self.config.train_every)
        quality = Quality(*(float(value) for value in counters["quality"]))
        if not quality.explained_variance <= 1.0:
            raise ValueError(f"an explained variance of {quality.explained_variance} cannot be")

    def _tell_once(self, nothing: str) -> None:
        if not self._told_of_nothing:
            logger.warning("%s; until then the agent keeps the environment's own reward", nothing)
            self._told_of_nothing = True
