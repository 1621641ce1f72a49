"""What an algorithm of RLlib and its EnvRunners are told of credit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gymnasium import spaces

from rudder_lrp.prediction.device import Device
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution.base import Redistributor
from rudder_lrp.redistribution.causal import CausalCredit
from rudder_lrp.redistribution.config import CreditConfig

Spaces = tuple[spaces.Space[Any], spaces.Space[Any]]
"""Of observations, as episodes hold them, and of actions."""


@dataclass(frozen=True)
class CreditSettings:
    """Travels with the algorithm's config to every EnvRunner."""

    credit: CreditConfig
    """What predictor, lessons and training are like."""
    redistributor: Callable[[ReturnPredictor], Redistributor]
    """Makes of a predictor what redistributes whole episodes."""
    predictor: str | None = None
    """File of the predictor to begin with."""
    seed: int = 0
    """Of the predictor's weights and the choice of lessons."""
    interval: float = 1.0
    """Seconds between two messages of one EnvRunner to the predictor, at least."""
    actor_options: Mapping[str, Any] = field(default_factory=dict)
    """Of the predictor's Ray actor, such as `num_gpus`."""
    actor: str = ""
    """Name of the predictor's Ray actor; each algorithm has its own."""

    def online(self, of: Spaces) -> OnlinePredictor:
        """A predictor for these spaces, with its lessons and its trainer.

        Raises:
            FileNotFoundError: if the predictor's file is not there.
            ValueError: if the file is damaged or was made for other spaces, or the device is not there.
        """
        predictor = ReturnPredictor.load(Path(self.predictor), *of) if self.predictor else None
        return CausalCredit.for_spaces(*of, 1, self.credit, predictor, self.seed).online

    def copy(self, of: Spaces) -> ReturnPredictor:
        """A predictor to ask, on the CPU wherever the one that learns is.

        Raises:
            FileNotFoundError: if the predictor's file is not there.
            ValueError: if the file is damaged, or was made for other spaces.
        """
        return replace(self, credit=replace(self.credit, device=Device.CPU)).online(of).predictor
