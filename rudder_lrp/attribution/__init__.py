"""Rivals of LRP behind the same call, for comparison and for what LRP does not explain.

All but contextual decomposition call Captum: `pip install "rudder-lrp[attribution]"`.
"""

from rudder_lrp.attribution.base import LSTMAttribution, Unit
from rudder_lrp.attribution.contextual_decomposition import ContextualDecomposition, Parts
from rudder_lrp.attribution.gradient_times_input import GradientTimesInput
from rudder_lrp.attribution.integrated_gradients import IntegratedGradients
from rudder_lrp.attribution.occlusion import Occlusion
from rudder_lrp.attribution.protocol import Attribution
from rudder_lrp.attribution.sensitivity import Sensitivity
from rudder_lrp.attribution.shapley_sampling import ShapleySampling
from rudder_lrp.attribution.smooth_grad import SmoothGrad
from rudder_lrp.attribution.whole_models import CaptumAttribution, as_captum

__all__ = [
    "Attribution",
    "CaptumAttribution",
    "ContextualDecomposition",
    "GradientTimesInput",
    "IntegratedGradients",
    "LSTMAttribution",
    "Occlusion",
    "Parts",
    "Sensitivity",
    "ShapleySampling",
    "SmoothGrad",
    "Unit",
    "as_captum",
]
