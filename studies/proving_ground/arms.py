"""The arms of a benchmark by name: what learns, and from whose credit."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from agents.tabular.aligned import AlignedCredit
from agents.tabular.credits import (
    Build,
    Credit,
    CreditConfig,
    PredictorCredit,
    RandomizedCredit,
    UniformCredit,
)
from agents.tabular.learners import LateMonteCarlo, Learner, LookBack, MonteCarlo, QLambda, SarsaLambda
from agents.tabular.observed import Observed
from agents.tabular.oracle import OracleCredit
from agents.tabular.replaying import ReplayedLateMonteCarlo, ReplayedMonteCarlo
from envs.finite import FiniteEnv
from rudder_lrp.attribution import IntegratedGradients
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig
from rudder_lrp.redistribution import (
    AttributionRedistributor,
    DifferenceRedistributor,
    LRPRedistributor,
    RandomizedConfig,
    Redistributor,
)

LEARNERS: dict[str, type[Learner]] = {
    "monte_carlo": MonteCarlo,
    "q_lambda": QLambda,
    "sarsa_lambda": SarsaLambda,
    "look_back": LookBack,
    "monte_carlo/replay": ReplayedMonteCarlo,
    "late_monte_carlo": LateMonteCarlo,
    "late_monte_carlo/replay": ReplayedLateMonteCarlo,
}
"""Tabular arms that learn from the environment's own reward; the last two are controls."""

BASELINES = ("monte_carlo", "monte_carlo/replay", "q_lambda", "sarsa_lambda", "look_back")


def integrated_gradients(predictor: ReturnPredictor) -> Redistributor:
    """Integrated gradients of the prediction at the last step."""
    reads = "cell" if predictor.structure.reads_cell else "hidden"
    return AttributionRedistributor(
        predictor, IntegratedGradients(predictor.lstm, predictor.readout, steps=8, reads=reads)
    )


EXPLANATIONS: dict[str, Build] = {
    "difference": DifferenceRedistributor,
    "lrp": LRPRedistributor,
    "integrated_gradients": integrated_gradients,
}
"""Credits by explaining a return predictor; an arm is `credit/structure`."""

TABULAR_RIVALS = ("monte_carlo", "monte_carlo/replay", "late_monte_carlo", "late_monte_carlo/replay")
"""The learners that tabular credit is set beside; the last two know what agents with credit know: that the last payment
alone is late."""

OTHER_CREDITS = ("oracle", "uniform", "rrd", "alignment")
"""Credits without a return predictor."""

DEFAULT = "lrp/leaky"
"""The main arm of the tabular tables."""
SHIPPED = "lrp/minimal"
"""What deep agents have where nothing is said."""

DEEP_EXPLANATIONS = ("difference", "lrp")
DEEP_CREDITS = (
    DEFAULT,
    "lrp/accumulator",
    "lrp/markov",
    "lrp/output-gated",
    "lrp/standard",
    "difference/markov",
    "difference/output-gated",
    "difference/standard",
    "lrp/leaky/outlook",
    "lrp/leaky/share",
    "lrp/leaky/0.02",
    "lrp/accumulator/share",
    "difference/markov/outlook",
    "difference/markov/0.02",
)
"""Every structure and credit; on the leaky structure and the accumulator differences and LRP are the same. A third part
says what the predictor predicts, where that is not both, or how much little variation weighs in its training, where
that is not the default (`rudder_lrp.prediction.training_config.TrainingConfig`)."""

DEEP_RIVALS: dict[str, RandomizedConfig] = {
    "rrd": RandomizedConfig(),
    "rrd/published": RandomizedConfig(normalized=False, weight_decay=0.0),
    "uniform": RandomizedConfig(),
}
"""Deep arms whose credit needs no return predictor. IRCR is not among them: where no transition comes twice and the sum
is kept, each step of an episode earns the same, which is `uniform`."""

DEEP = ("dense", "none", "recurrent_ppo")
"""Deep arms without credit: PPO on the reward that is not delayed, on the delayed one, and with memory of its own."""


def has_credit(arm: str) -> bool:
    """Whether a tabular arm learns from redistributed reward."""
    return arm not in LEARNERS


def check_arm(arm: str, env: str, deep: bool) -> None:
    """Refuse an arm that does not exist.

    Raises:
        ValueError: naming the arms there are.
    """
    explanations = DEEP_EXPLANATIONS if deep else tuple(EXPLANATIONS)
    others = (*DEEP, *DEEP_RIVALS) if deep else (*LEARNERS, *OTHER_CREDITS)
    third_part = rf"(/({'|'.join(Predicts)}|\d+(\.\d+)?))?" if deep else ""
    with_credit = rf"({'|'.join(explanations)})/({'|'.join(Structure)}){third_part}"
    if arm not in others and not re.fullmatch(with_credit, arm):
        ending = f", and perhaps a third part, one of {', '.join(Predicts)}, or a variation weight" if deep else ""
        raise ValueError(
            f"no arm {arm!r} for {env}; there are {', '.join(others)}, and credit/structure with credit one of "
            f"{', '.join(explanations)} and structure one of {', '.join(Structure)}{ending}"
        )


def explained(arm: str, training: TrainingConfig) -> tuple[str, Structure, TrainingConfig]:
    """Credit, structure and the training of the predictor, of a deep arm with credit; all have `training` in common."""
    credit, structure, *third_part = arm.split("/")
    return credit, Structure(structure), _training(training, *third_part)


def _training(training: TrainingConfig, asked: str | None = None) -> TrainingConfig:
    if asked is None:
        return training
    if asked in set(Predicts):
        return replace(training, predicts=Predicts(asked))
    return replace(training, variation_weight=float(asked))


def build_credit(arm: str, env: FiniteEnv, epsilon: float, seed: int, config: CreditConfig) -> Credit:
    """The credit of a tabular arm; `epsilon` is the share of random actions whose values the oracle knows."""
    credit, _, structure = arm.partition("/")
    builders = {
        "oracle": partial(OracleCredit, env.model, epsilon),
        "uniform": UniformCredit,
        "rrd": partial(RandomizedCredit, Observed.of(env), seed, config),
        "alignment": partial(AlignedCredit, env.model, config),
    }
    if arm in builders:
        return builders[arm]()
    return PredictorCredit(Observed.of(env), EXPLANATIONS[credit], structure, seed, config)
