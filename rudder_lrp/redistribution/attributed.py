"""Any explanation of the predicted return as a redistribution: the rivals of LRP behind the same interface."""

from __future__ import annotations

import torch
from torch import Tensor

from rudder_lrp.attribution.protocol import Attribution
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution.base import PredictorRedistributor, Residual


class AttributionRedistributor(PredictorRedistributor):
    """A step earns what an attribution gives its features for the prediction at the last step.

    Args:
        predictor: whose prediction is explained.
        attribution: explains `predictor.lstm` with `predictor.readout`, of the cell state where the structure reads it.
        residual: which steps take what is left of the true return.
    """

    def __init__(
        self, predictor: ReturnPredictor, attribution: Attribution, residual: Residual | str = Residual.LAST
    ) -> None:
        super().__init__(predictor, residual)
        self.attribution = attribution

    @property
    def causal(self) -> bool:
        """Never: the finished episode is explained."""
        return False

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`."""
        with torch.enable_grad():
            relevance = self.attribution.attribute(self.predictor.inputs(features), lengths=lengths)
        return self.predictor.return_scale * relevance.sum(dim=2).cpu()
