"""Credit assignment for delayed rewards: explain, redistribute, learn."""

from importlib.metadata import version

from rudder_lrp.episodes import Episode
from rudder_lrp.lrp import LRP
from rudder_lrp.predictor import ReturnPredictor
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor
from rudder_lrp.training import TrainingConfig, fit

__all__ = [
    "LRP",
    "DifferenceRedistributor",
    "Episode",
    "LRPRedistributor",
    "ReturnPredictor",
    "TrainingConfig",
    "fit",
]

__version__ = version("rudder-lrp")
