"""Sensitivity: how strongly the output reacts to a small change of an input."""

from __future__ import annotations

from torch import Tensor

from rudder_lrp.attribution.base import LSTMAttribution, captum_attr


class Sensitivity(LSTMAttribution):
    """Absolute gradient (Simonyan et al. 2013), by Captum's `Saliency`; never negative, so it has no sign to tell.

    See `LSTMAttribution` for the arguments.
    """

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        saliency: Tensor = (
            captum_attr()
            .Saliency(self.score)
            .attribute(inputs.clone().requires_grad_(), additional_forward_args=(lengths, target))
        )
        return saliency
