"""Gradient times input: the first-order effect of switching an input off."""

from __future__ import annotations

from torch import Tensor

from rudder_lrp.attribution.base import LSTMAttribution, ask_captum, captum_attr


class GradientTimesInput(LSTMAttribution):
    """Gradient times input (Shrikumar et al. 2017), by Captum's `InputXGradient`.

    See `LSTMAttribution` for the arguments.
    """

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        method = captum_attr().InputXGradient(self.score)
        return ask_captum(method, inputs.clone().requires_grad_(), lengths, target)
