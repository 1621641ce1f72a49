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

    Without recurrent cell input the prediction telescopes over the steps, and each change of it can be settled where it
    arises: what a step writes into a cell is its relevance, and what a gate lets out or erases is relevance too, taken
    by the gate at the moment it moves (the rule of the open root, see `docs/lrp.md`; on the accumulator no gate moves,
    and the rule is LRP-all). Step by step that equals the difference of consecutive predictions, so it is causal.

    In hindsight, and on a standard LSTM, LRP-all explains the finished episode: gates earn nothing, and the steps that
    the last state still remembers earn all. Through a standard LSTM relevance can leak or blow up on the way, so every
    episode is checked: where the relevances miss the prediction by more than `tolerance` of it, it gets differences of
    predictions.

    Args:
        predictor: whose prediction is explained.
        residual: which steps take what is left of the true return.
        hindsight: whether the last state of the finished episode is explained, on any structure.
        eps: stabilizer of the standard structure's denominators.
        tolerance: relative leak that is still accepted.
    """

    def __init__(
        self,
        predictor: ReturnPredictor,
        residual: Residual | str = Residual.LAST,
        *,
        hindsight: bool = False,
        eps: float = 1e-3,
        tolerance: float = 0.2,
    ) -> None:
        super().__init__(predictor, residual)
        self.hindsight = hindsight or predictor.structure is Structure.STANDARD
        self.tolerance = tolerance
        reads: Reads = "cell" if predictor.structure.reads_cell else "hidden"
        self._lrp = LRP(predictor.lstm, predictor.readout, eps=eps, reads=reads)

    @property
    def causal(self) -> bool:
        """Unless it explains in hindsight."""
        return not self.hindsight

    def explain(self, features: Tensor, lengths: Tensor) -> Explanation:
        """Relevance for the normalised prediction at the last valid step, of features `[B, T, F]` and the clock.

        The relevance of inputs is `[B, T, F + 1]`, the last column that of the clock if there is one, else `[B, T, F]`.
        """
        normalised = self.predictor.normalizer(features.to(self.predictor.device))
        inputs = self.predictor.with_clock(self.predictor.encoder(normalised))
        explanation = self._lrp.explain(inputs, lengths=lengths)
        width = self.predictor.encoder.out_features
        relevance = self.predictor.encoder.propagate(normalised, explanation.inputs[..., :width], self._lrp.rules.eps)
        if self.predictor.clock.out_features:
            read = explanation.inputs[..., width:].sum(dim=-1, keepdim=True)
            relevance = torch.cat([relevance, read], dim=-1)
        return explanation._replace(inputs=relevance)

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Redistributor.contributions`."""
        if self.causal:
            return self.differences(features, lengths)
        steps = self.predictor.return_scale * self.explain(features, lengths).steps.cpu().double()
        if self.predictor.structure is not Structure.STANDARD:
            return steps
        differences = self.differences(features, lengths)
        predicted = differences.sum(dim=1)
        leak = (steps.sum(dim=1) - predicted).abs()
        return torch.where((leak > self.tolerance * predicted.abs())[:, None], differences, steps)
