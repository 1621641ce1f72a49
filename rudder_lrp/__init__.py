"""Credit assignment for delayed rewards: explain, redistribute, learn."""

from importlib.metadata import version

from rudder_lrp.episodes.delayed_reward import DelayedReward
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.lrp import LRP
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training import TrainingConfig, fit
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor
from rudder_lrp.redistribution.config import ON_POLICY, REPLAYED, CreditConfig

__all__ = [
    "LRP",
    "ON_POLICY",
    "REPLAYED",
    "CreditConfig",
    "DelayedReward",
    "DifferenceRedistributor",
    "Episode",
    "LRPRedistributor",
    "ReturnPredictor",
    "TrainingConfig",
    "fit",
]

__version__ = version("rudder-lrp")
