"""Gradient times input: the first-order effect of switching an input off."""

from __future__ import annotations

from torch import Tensor

from rudder_lrp.attribution.base import LSTMAttribution, captum_attr


class GradientTimesInput(LSTMAttribution):
    """Gradient times input (Shrikumar et al. 2017), by Captum's `InputXGradient`.

    See `LSTMAttribution` for the arguments.
    """

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        product: Tensor = (
            captum_attr()
            .InputXGradient(self.score)
            .attribute(inputs.clone().requires_grad_(), additional_forward_args=(lengths, target))
        )
        return product
