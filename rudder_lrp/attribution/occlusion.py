"""Occlusion: what the output loses when an input is switched off."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from rudder_lrp.attribution.base import LSTMAttribution, Unit, ask_captum, captum_attr, spread, unit_mask


@dataclass(eq=False)
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

    _: KW_ONLY
    unit: Unit | str = Unit.FEATURE
    baseline: float = 0.0
    rows: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        self.unit = Unit(self.unit)

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            lost = ask_captum(
                captum_attr().FeatureAblation(self.score),
                inputs,
                lengths,
                target,
                baselines=self.baseline,
                feature_mask=unit_mask(inputs, self.unit),
                perturbations_per_eval=max(1, self.rows // len(inputs)),
            )
        return spread(lost, self.unit)
