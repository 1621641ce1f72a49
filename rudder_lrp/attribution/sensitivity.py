"""Sensitivity: how strongly the output reacts to a small change of an input."""

from __future__ import annotations

from torch import Tensor

from rudder_lrp.attribution.base import LSTMAttribution, ask_captum, captum_attr


class Sensitivity(LSTMAttribution):
    """Absolute gradient (Simonyan et al. 2013), by Captum's `Saliency`; never negative, so it has no sign to tell.

    See `LSTMAttribution` for the arguments.
    """

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        method = captum_attr().Saliency(self.score)
        return ask_captum(method, inputs.clone().requires_grad_(), lengths, target)
