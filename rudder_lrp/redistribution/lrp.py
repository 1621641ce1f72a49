"""Layer-wise relevance propagation: a step earns its relevance for the predicted return."""

from __future__ import annotations

import torch
from torch import Tensor

from rudder_lrp.lrp.attribution import LRP, Explanation, Reads
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution.base import PredictorRedistributor, Residual


class LRPRedistributor(PredictorRedistributor):
    """The relevance of each step for the prediction at the last step.

    On the leaky structure and the accumulator the prediction is linear in a cell state that is a sum over time,
    `w . c_T = sum_t w . (i_t z_t - (1 - f_t) c_{t-1})`. What a step writes is its relevance, and what its forget gate
    erases is relevance too, taken by the gate at the moment it closes (the rule of the open root; on the accumulator
    nothing is erased and the rule is LRP-all). That equals the difference of consecutive predictions, so it is causal.

    On the other structures LRP-all explains the finished episode. Through a standard LSTM relevance can leak or blow up
    on the way, so every episode is checked: where the relevances miss the prediction by more than `tolerance` of it, it
    gets differences of predictions.

    Args:
        predictor: whose prediction is explained.
        residual: which steps take what is left of the true return.
        eps: stabilizer of the standard structure's denominators.
        tolerance: relative leak that is still accepted.
    """

    def __init__(
        self,
        predictor: ReturnPredictor,
        residual: Residual | str = Residual.LAST,
        *,
        eps: float = 1e-3,
        tolerance: float = 0.2,
    ) -> None:
        super().__init__(predictor, residual)
        self.tolerance = tolerance
        reads: Reads = "cell" if predictor.structure.reads_cell else "hidden"
        self._lrp = LRP(predictor.lstm, predictor.readout, eps=eps, reads=reads)

    @property
    def causal(self) -> bool:
        """True on the leaky structure and the accumulator."""
        return self.predictor.structure.reads_cell

    def explain(self, features: Tensor, lengths: Tensor) -> Explanation:
        """Relevance for the normalised prediction at the last valid step, of features `[B, T, F]`."""
        normalised = self.predictor.normalizer(features)
        explanation = self._lrp.explain(self.predictor.encoder(normalised), lengths=lengths)
        relevance = self.predictor.encoder.propagate(normalised, explanation.inputs, self._lrp.rules.eps)
        return explanation._replace(inputs=relevance)

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`."""
        if self.causal:
            return self.differences(features, lengths)
        steps = self.predictor.return_scale * self.explain(features, lengths).steps
        if self.predictor.structure is not Structure.STANDARD:
            return steps
        differences = self.differences(features, lengths)
        predicted = differences.sum(dim=1)
        leak = (steps.sum(dim=1) - predicted).abs()
        return torch.where((leak > self.tolerance * predicted.abs())[:, None], differences, steps)
