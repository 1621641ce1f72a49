"""Integrated gradients: the gradient averaged on the straight way from a baseline to the input."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from torch import Tensor

from rudder_lrp.attribution.base import LSTMAttribution, ask_captum, captum_attr


@dataclass(eq=False)
class IntegratedGradients(LSTMAttribution):
    """Integrated gradients (Sundararajan et al. 2017), by Captum.

    The relevances sum to the output minus the output at the baseline, up to the error of the quadrature.

    Args:
        lstm: see `LSTMAttribution`.
        readout: see `LSTMAttribution`.
        steps: points of the Gauss-Legendre quadrature.
        baseline: value of every input that stands for "absent".
        rows: sequences in one pass through the model, at most; bounds the memory.
        reads: see `LSTMAttribution`.

    Raises:
        ValueError: if `steps` is below 1.
    """

    _: KW_ONLY
    steps: int = 50
    baseline: float = 0.0
    rows: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise ValueError(f"the quadrature needs at least 1 step, got {self.steps}")

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        return ask_captum(
            captum_attr().IntegratedGradients(self.score),
            inputs,
            lengths,
            target,
            baselines=self.baseline,
            n_steps=self.steps,
            internal_batch_size=max(self.rows, len(inputs)),
        )
