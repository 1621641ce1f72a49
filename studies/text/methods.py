"""Explanations of the same classifiers, by LRP and by what Captum has."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rudder_lrp.attribution import CaptumAttribution
from rudder_lrp.lrp import LRP

Explain = Callable[[Tensor], Tensor]
"""From token numbers `[B, T]` to the relevance of each for praise, `[B, T]`."""

RULES = ("all", "half", "prop", "abs")


def methods(model: nn.Module, seed: int = 0) -> dict[str, Explain]:
    """By name; each explains the one logit."""

    def random(tokens: Tensor) -> Tensor:
        return torch.rand(tokens.shape, generator=torch.Generator().manual_seed(seed))

    found: dict[str, Explain] = {f"LRP-{rule}": LRP(model, rule=rule).attribute for rule in RULES}
    found["LRP-all, eps 0.1"] = LRP(model, eps=0.1).attribute
    captum = {
        "gradient x input": ("InputXGradient", {}),
        "integrated gradients": ("IntegratedGradients", {"n_steps": 50, "internal_batch_size": 1024}),
        "occlusion": ("FeatureAblation", {"perturbations_per_eval": 4}),
    }
    for name, (method, options) in captum.items():
        found[name] = CaptumAttribution(model, method, **options).attribute
    return found | {"random": random}
