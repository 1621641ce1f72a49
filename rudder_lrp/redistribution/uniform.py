"""Every step earns the same: guidance rewards without any model."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rudder_lrp.lessons import Lesson
from rudder_lrp.lrp.sequences import valid_steps
from rudder_lrp.predictor import ReturnPredictor
from rudder_lrp.redistribution.base import Redistributor, Residual, Rewards


class UniformRedistributor(Redistributor):
    """`r_t = G / T` (IRCR, Gangwani et al. 2020).

    The prediction is shared out evenly, and so is what it leaves of the true return, so that it cancels out.
    """

    def __init__(self, predictor: ReturnPredictor) -> None:
        super().__init__(predictor, Residual.SPREAD)

    @property
    def causal(self) -> bool:
        """Never: the return and the length are known at the end."""
        return False

    def kept(self, lesson: Lesson) -> Rewards:
        """Nothing: all of the return is shared out."""
        return np.zeros(len(lesson))

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`."""
        predicted = self.differences(features, lengths).sum(dim=1, keepdim=True)
        shares: Tensor = predicted / lengths[:, None]
        return shares * valid_steps(lengths, features.shape[1])
