"""Shapley values by sampling: the mean gain from an input over random orders of arrival."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from rudder_lrp.attribution.base import (
    LSTMAttribution,
    Unit,
    ask_captum,
    by_length,
    captum_attr,
    spread,
    unit_mask,
)


@dataclass(eq=False)
class ShapleySampling(LSTMAttribution):
    """Shapley values estimated from random permutations (Strumbelj & Kononenko 2010), by Captum.

    The relevances sum to the output minus the output at the baseline, however few the samples. Each sample costs one
    forward pass for each unit. Sequences of the same length share their permutations, which depend on the seed and
    the length alone, so a batch does not change the outcome. Captum adds up in float32, whatever the model's dtype.

    Args:
        lstm: see `LSTMAttribution`.
        readout: see `LSTMAttribution`.
        samples: permutations.
        unit: what arrives as one, `"feature"` or `"step"`.
        baseline: value of every input that stands for "absent".
        seed: of the permutations; the global random state is left as it was.
        rows: sequences in one pass through the model, at most (but never below the batch); bounds the memory.
        reads: see `LSTMAttribution`.

    Raises:
        ValueError: if `samples` is below 1.
    """

    _: KW_ONLY
    samples: int = 25
    unit: Unit | str = Unit.FEATURE
    baseline: float = 0.0
    seed: int = 0
    rows: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1:
            raise ValueError(f"Shapley sampling needs at least 1 permutation, got {self.samples}")
        self.unit = Unit(self.unit)

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        relevance = torch.zeros_like(inputs)
        for length, members in by_length(lengths):
            relevance[members, :length] = self._of_equal_length(
                inputs[members, :length], lengths[members], target[members]
            )
        return relevance

    def _of_equal_length(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            gains = ask_captum(
                captum_attr().ShapleyValueSampling(self.score),
                inputs,
                lengths,
                target,
                baselines=self.baseline,
                feature_mask=unit_mask(inputs, self.unit),
                n_samples=self.samples,
                perturbations_per_eval=max(1, self.rows // len(inputs)),
            )
        return spread(gains, self.unit).to(inputs.dtype)
