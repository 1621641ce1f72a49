"""Episodes to rewards with the same sum: one file a method, one base that guarantees it; what credit consists of."""

from rudder_lrp.redistribution.attributed import AttributionRedistributor
from rudder_lrp.redistribution.base import PredictorRedistributor, Redistributor, Residual, place_residual
from rudder_lrp.redistribution.difference import DifferenceRedistributor
from rudder_lrp.redistribution.learning import Cadence, LearningRedistributor
from rudder_lrp.redistribution.lrp import LRPRedistributor
from rudder_lrp.redistribution.randomized import RandomizedConfig, RandomizedRedistributor
from rudder_lrp.redistribution.stream import ContributionStream
from rudder_lrp.redistribution.uniform import IRCRRedistributor, UniformRedistributor

__all__ = [
    "AttributionRedistributor",
    "Cadence",
    "ContributionStream",
    "DifferenceRedistributor",
    "IRCRRedistributor",
    "LRPRedistributor",
    "LearningRedistributor",
    "PredictorRedistributor",
    "RandomizedConfig",
    "RandomizedRedistributor",
    "Redistributor",
    "Residual",
    "UniformRedistributor",
    "place_residual",
]
