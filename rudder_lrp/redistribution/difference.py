"""Differences of predictions: a step earns what it changed in the predicted return."""

from __future__ import annotations

from torch import Tensor

from rudder_lrp.redistribution.base import PredictorRedistributor


class DifferenceRedistributor(PredictorRedistributor):
    """`r_t = scale * (y_t - y_{t-1})` with `y_{-1}` the readout's bias (Arjona-Medina et al. 2019, section 3).

    Causal on every structure. Sums to the last prediction without the readout's bias, as LRP does.
    """

    @property
    def causal(self) -> bool:
        """Always."""
        return True

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`."""
        return self.differences(features, lengths)
