"""How a return predictor is trained."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum

from rudder_lrp.prediction.predictor import Head
from rudder_lrp.prediction.quality import Target
from rudder_lrp.prediction.ranges import check_numbers


class Predicts(StrEnum):
    """Which heads a predictor is trained with, and so what a step's credit is."""

    OUTLOOK = "outlook"
    """A step earns what it changed in the outlook. Where a step's reward is to be its action's value, as in direct Q
    estimation (Arjona-Medina et al. 2019, section 3), nothing else will do."""
    SHARE = "share"
    """A step earns its share of the return."""
    BOTH = "both"
    """The outlook, as long as held-out lessons bear it out on the way; else the share. Where all episodes of a
    policy return nearly the same, the outlook hardly changes, and what is left of it is the predictor's noise."""

    @property
    def heads(self) -> tuple[Head, ...]:
        """Those that are trained."""
        return tuple(Head) if self is Predicts.BOTH else (Head(self.value),)


@dataclass(frozen=True)
class TrainingConfig:
    """How a predictor is trained.

    Raises:
        ValueError: if a number is out of range, or `predicts` or `target` is not one there is.
    """

    updates: int = 150
    """Gradient steps of one round."""
    kept: float = 0.5
    """Share of the last round's weights in those that a round begins with; the rest are fresh ones (shrink and perturb,
    Ash and Adams 2020): a network that has once learnt from a few early lessons never learns from later ones as a fresh
    one does, and a fresh one has everything to learn again. 1 goes on from the last round, at a constant learning rate;
    with less, the rate falls to 0, so that each round ends converged on the lessons there are."""
    batch_size: int = 32
    """Lessons of one gradient step."""
    batch_steps: int = 1024
    """A gradient step takes fewer lessons where they have more steps than this in all, so that its time is bounded."""
    learning_rate: float = 1e-2
    """Of Adam; where it falls, the first one."""
    weight_decay: float = 5e-4
    """L2: what a few lessons say of hundreds of features has to be held back. `offline` has four times as much
    for a few, and less for many."""
    predicts: Predicts = Predicts.BOTH
    """What a step's credit is: outlook, share, or both, whichever the lessons bear out."""
    along_weight: float = 8.0
    """Weight of the outlook's error along the way, beside the one at the last step."""
    variation_weight: float = 0.005
    """Weight of the total variation of an episode's predictions, in standard deviations of what comes last.

    Credit is the change of the prediction, so this asks for an explanation with little credit in all: what tells
    nothing, such as a distraction, earns nothing. Where steps rightly earn in both directions it costs true credit, and
    the members of a predictor then err alike, so that their spread says less of how sure they are."""
    subset: int = 0
    """A gradient step looks at so many steps K of each lesson, drawn at random (randomized return decomposition, Ren et
    al. 2022); 0 for all of them. Only where a prediction is a sum over the steps: the share of an accumulator that sees
    no clock. It makes many small updates cheap, and what the draw adds to the error, `T^2 / K (1 - K / T)` times the
    variance of what the steps contribute, asks for the most even explanation of a few long episodes."""
    noise: float = 0.0
    """Standard deviation of what is added to the features at each gradient step, in theirs (Bishop 1995): a lesson that
    is learnt from again and again is then not known by what one of its steps happened to look like, which would earn
    that step the credit. Lessons that are handed out before they are learnt from cannot be recognised and need none."""
    target: Target = Target.LAST
    """What of the return is predicted."""
    max_gradient_norm: float = 1.0
    """Gradients are clipped to this norm."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "predicts", Predicts(self.predicts))
        object.__setattr__(self, "target", Target(self.target))
        if not 0.0 <= self.kept <= 1.0:
            raise ValueError(f"kept is a share of the weights, within [0, 1], got {self.kept}")
        check_numbers(self, whole=("updates", "batch_size", "batch_steps"), least=1)
        check_numbers(self, real=("weight_decay", "along_weight", "variation_weight", "noise"))
        check_numbers(self, real=("learning_rate", "max_gradient_norm"), least=sys.float_info.min)
        if self.subset and (self.subset < 2 or self.predicts is not Predicts.SHARE):
            raise ValueError(
                f"a subset has at least 2 steps and tells of the share alone, got subset={self.subset} and "
                f"predicts={self.predicts.value!r}; set predicts='share', or subset=0"
            )
        if self.subset and self.noise:
            raise ValueError(f"with a subset of the steps noise={self.noise} would do nothing; set one of them to 0")


DEFAULT_TRAINING = TrainingConfig()
"""One round of a predictor that learns on the way, on-policy."""

_FEW = 200  # lessons


def offline(lessons: int, updates: int = 1000) -> TrainingConfig:
    """For lessons that are all there is and all of one policy, and are explained themselves when they have been learnt.

    What holds few lessons back from being learnt by heart, decay and noise, would hold many back from saying what they
    know: what is assumed beforehand weighs as much as so many lessons do, and is divided by how many there are (MacKay
    1992). The noise acts like a decay of its own with the square of its deviation (Bishop 1995).

    Args:
        lessons: how many there are, held-out ones included.
        updates: at least; with more than twice as many lessons, half as many as there are.
    """
    share = min(1.0, _FEW / max(lessons, 1))
    return TrainingConfig(updates=max(updates, lessons // 2), weight_decay=2e-3 * share, noise=0.6 * share**0.5)
