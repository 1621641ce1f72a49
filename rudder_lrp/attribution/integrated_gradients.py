"""Integrated gradients: the gradient averaged on the straight way from a baseline to the input."""

from __future__ import annotations

from torch import Tensor, nn

from rudder_lrp.attribution.base import LSTMAttribution, Reads, captum_attr


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

    def __init__(
        self,
        lstm: nn.LSTM,
        readout: nn.Module,
        *,
        steps: int = 50,
        baseline: float = 0.0,
        rows: int = 1024,
        reads: Reads = "hidden",
    ) -> None:
        super().__init__(lstm, readout, reads=reads)
        if steps < 1:
            raise ValueError(f"the quadrature needs at least 1 step, got {steps}")
        self.steps = steps
        self.baseline = baseline
        self.rows = rows

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        integral: Tensor = (
            captum_attr()
            .IntegratedGradients(self.score)
            .attribute(
                inputs,
                baselines=self.baseline,
                additional_forward_args=(lengths, target),
                n_steps=self.steps,
                internal_batch_size=max(self.rows, len(inputs)),
            )
        )
        return integral
