"""Occlusion: what the output loses when an input is switched off."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rudder_lrp.attribution.base import LSTMAttribution, Reads, Unit, captum_attr, spread, unit_mask


class Occlusion(LSTMAttribution):
    """Output minus the output with one unit replaced by the baseline (Li et al. 2016), by Captum's `FeatureAblation`.

    One forward pass for each unit: T of them for steps, T F for features.

    Args:
        lstm: see `LSTMAttribution`.
        readout: see `LSTMAttribution`.
        unit: what is switched off as one, `"feature"` or `"step"`.
        baseline: value of every input that stands for "absent".
        rows: sequences in one pass through the model, at most (but never below the batch); bounds the memory.
        reads: see `LSTMAttribution`.
    """

    def __init__(
        self,
        lstm: nn.LSTM,
        readout: nn.Module,
        *,
        unit: Unit | str = Unit.FEATURE,
        baseline: float = 0.0,
        rows: int = 1024,
        reads: Reads = "hidden",
    ) -> None:
        super().__init__(lstm, readout, reads=reads)
        self.unit = Unit(unit)
        self.baseline = baseline
        self.rows = rows

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            lost: Tensor = (
                captum_attr()
                .FeatureAblation(self.score)
                .attribute(
                    inputs,
                    baselines=self.baseline,
                    additional_forward_args=(lengths, target),
                    feature_mask=unit_mask(inputs, self.unit),
                    perturbations_per_eval=max(1, self.rows // len(inputs)),
                )
            )
        return spread(lost, self.unit)
