"""Differences of predictions: a step earns what it changed in the predicted return."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rudder_lrp.lrp.closed_form import valid_steps
from rudder_lrp.redistribution.base import Redistributor


class DifferenceRedistributor(Redistributor):
    """`r_t = scale * (y_t - y_{t-1})` with `y_{-1}` the readout's bias (Arjona-Medina et al. 2019, eq. 5).

    Causal on every structure. Sums to the last prediction without the readout's bias, as LRP does.
    """

    causal: ClassVar[bool] = True

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`."""
        predictions = self.predictor(features)
        before = self.predictor.readout.bias.expand(len(predictions), 1)
        differences = predictions - torch.cat([before, predictions[:, :-1]], dim=1)
        return self.predictor.return_scale * differences * valid_steps(lengths, differences.shape[1])
