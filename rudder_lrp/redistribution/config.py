"""What a redistribution that learns on the way can be told, and what it does where nothing is said."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from rudder_lrp.episodes.features import Encoding
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.clock import MOST_FREQUENCIES
from rudder_lrp.prediction.device import Device
from rudder_lrp.prediction.online import OnlineConfig
from rudder_lrp.prediction.ranges import check_numbers
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig

_Constructor = TypeVar("_Constructor", bound=Callable[..., None])


@dataclass(frozen=True)
class CreditConfig(OnlineConfig):
    """A predictor, the lessons it keeps, how it is trained and trusted: all that a wrapper takes.

    Raises:
        ValueError: if a number is out of range, or two do not go together.
    """

    structure: Structure = Structure.MINIMAL
    """Connections of the predictor's LSTM."""
    hidden_size: int = 64
    """Cells of the predictor's LSTM, of all members together."""
    members: int = 4
    """Predictors within the LSTM, which see the same and nothing of each other; their spread says how sure they are."""
    clock: int = 10
    """Frequencies by which the predictor sees which step it is, 0 for none; the longest period is 2 ** (clock + 1)."""
    encoding: Encoding = Encoding.FULL
    """What the predictor sees of a transition."""
    device: Device = Device.CPU
    """Where the predictor's network computes."""
    lesson_capacity: int = 300
    """Episodes that are kept to train on."""
    max_episode_steps: int = 10_000
    """An episode longer than this is no lesson and gets its own reward from there on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "structure", Structure(self.structure))
        object.__setattr__(self, "encoding", Encoding(self.encoding))
        object.__setattr__(self, "device", Device(self.device))
        check_numbers(self, whole=("max_episode_steps", "hidden_size", "members", "lesson_capacity"), least=1)
        check_numbers(self, whole=("clock",))
        if self.hidden_size % self.members or self.clock > MOST_FREQUENCIES:
            raise ValueError(
                f"{self.hidden_size} cells cannot be shared out among {self.members} members, or a clock cannot have "
                f"{self.clock} frequencies; let members divide hidden_size, and clock be at most {MOST_FREQUENCIES}"
            )
        if self.lesson_capacity < self.min_lessons:
            raise ValueError(
                f"lesson_capacity={self.lesson_capacity} lessons never become min_lessons={self.min_lessons}, and the "
                "predictor would never be trained; raise the one or lower the other"
            )
        if self.training.subset and (self.structure is not Structure.ACCUMULATOR or self.clock):
            raise ValueError(
                "a subset of the steps teaches a sum over them alone, that of an accumulator without a clock; got "
                f"structure={self.structure.value!r} and clock={self.clock}: set subset=0, or structure and clock"
            )

    def changed(self, options: dict[str, Any], *, own_predictor: bool = False) -> CreditConfig:
        """The same with some fields changed.

        Args:
            options: new values by field.
            own_predictor: whether a predictor is there already, which the fields that describe one would not change.

        Raises:
            TypeError: if there is no such field, naming those there are.
            ValueError: if a field describes the predictor that is there already.
        """
        if own_predictor and (ignored := sorted(options.keys() & _OF_PREDICTOR)):
            raise ValueError(f"{', '.join(ignored)} would not change the predictor that is given; build it with them")
        known = [field.name for field in fields(self)]
        for name in options:
            if name not in known:
                raise TypeError(f"no option {name!r}; there are {', '.join(known)}")
        return replace(self, **options)


_OF_PREDICTOR = {"structure", "hidden_size", "members", "clock", "encoding"}

ON_POLICY = CreditConfig()
"""Each reward is learnt from once, right after it was handed out, and without recurrent cell input what a step changed
in the prediction is its LRP relevance; suite `credit` of the benchmarks measures this recipe against the true credit,
suite `deep` compares the structures by the recipe before it."""

REPLAYED = CreditConfig(
    structure=Structure.ACCUMULATOR,
    hidden_size=256,
    members=1,
    clock=0,
    training=TrainingConfig(
        updates=250,
        kept=1.0,
        batch_size=4,
        subset=64,
        learning_rate=3e-3,
        weight_decay=3e-3,
        variation_weight=0.0,
        predicts=Predicts.SHARE,
    ),
    train_every=500,
    growth=1.0,
    lesson_capacity=512,
    min_lessons=4,
    gated=False,
)
"""Rewards are learnt from again and again, by policies that the predictor has not seen: they must not depend on what
the policy did next nor on when it was, so a step earns its share, and the predictor is a sum over time that forgets
nothing and sees no clock: a gated layer, summed up, whose relevance is what each step adds. Learning from replay takes
few episodes, so it begins with few and learns as often as the critic does. It belongs with a replay buffer that spreads
what it leaves unexplained."""


def takes_options(constructor: _Constructor) -> _Constructor:
    """Let the signature of a constructor show the fields of `CreditConfig` where it takes them as `**options`."""
    signature = inspect.signature(constructor, eval_str=False)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in fields(CreditConfig)
    ]
    constructor.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return constructor
