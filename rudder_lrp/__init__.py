"""Credit assignment for delayed rewards: explain, redistribute, learn.

What a room holds is imported when it is asked for: so the command answers at once, and explanations alone need no more
than PyTorch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rudder_lrp.episodes.delayed_reward import DelayedReward
    from rudder_lrp.episodes.episode import Episode
    from rudder_lrp.lrp import LRP
    from rudder_lrp.prediction.predictor import ReturnPredictor
    from rudder_lrp.prediction.training import fit
    from rudder_lrp.prediction.training_config import TrainingConfig
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

_ROOMS = {
    "LRP": "lrp",
    "ON_POLICY": "redistribution.config",
    "REPLAYED": "redistribution.config",
    "CreditConfig": "redistribution.config",
    "DelayedReward": "episodes.delayed_reward",
    "DifferenceRedistributor": "redistribution",
    "Episode": "episodes.episode",
    "LRPRedistributor": "redistribution",
    "ReturnPredictor": "prediction.predictor",
    "TrainingConfig": "prediction.training_config",
    "fit": "prediction.training",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
