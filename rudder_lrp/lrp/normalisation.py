"""Normalisations of a model: the standard deviation is a constant that scales (Ali et al. 2022), the rest is affine."""

from __future__ import annotations

import torch
from torch import Tensor

from rudder_lrp.lrp.recorder import Call, absorbed
from rudder_lrp.lrp.rules import sign, stabilize
from rudder_lrp.lrp.tape import Passed, Value


def layer_norm(call: Call) -> Tensor:
    """`(x - mean) / deviation * gain + bias`: centering and gain share by epsilon."""
    options = call.arguments("input", "normalized_shape", "weight", "bias", "eps")
    x, gain, bias = options["input"], options.get("weight"), options.get("bias")
    dims = tuple(range(-len(options["normalized_shape"]), 0))
    deviation = (x.detach().var(dims, correction=0, keepdim=True) + options.get("eps", 1e-5)).sqrt()
    scale = (1.0 if gain is None else gain.detach()) / deviation

    def centred(s: Tensor) -> Tensor:
        return s - s.mean(dims, keepdim=True)

    return _normalised(call, x, scale, None if bias is None else bias.detach(), centred, gain)


def batch_norm(call: Call) -> Tensor:
    """In evaluation, a gain and a bias for each feature; they share by epsilon."""
    options = call.arguments()
    x = options["input"]
    if options["training"]:
        raise call.refuse("normalises by the batch while the model is explained; write training=self.training")
    mean, variance = options["running_mean"], options["running_var"]
    shape = [-1] + [1] * (x.ndim - 2)
    gain = (1.0 if options["weight"] is None else options["weight"]) / (variance + options["eps"]).sqrt()
    bias = (0.0 if options["bias"] is None else options["bias"]) - mean * gain
    return _normalised(call, x, gain.detach().view(shape), bias.detach().view(shape), lambda s: s, options["weight"])


def _normalised(call: Call, x: Tensor, scale: Tensor, bias: Tensor | None, centred: object, weight: object) -> Tensor:
    value, place, eps = call.value(x), call.place(weight), call.recorder.composite.eps
    if value is None:
        raise call.refuse("has parameters that depend on the inputs, which no rule covers; use parameters of its own")
    y = call.run().detach()
    unchanged = call.recorder.composite.passes_norm(place.name, place.kind)

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        assert arriving[0] is not None
        if unchanged:
            return Passed(arriving, [])
        s = arriving[0] / stabilize(y, eps)
        kept = absorbed("stabilizers", eps * sign(y) * s, account)
        kept += absorbed("biases", s * (torch.zeros_like(y) if bias is None else bias), account)
        return Passed([x.detach() * centred(s * scale)], kept)  # type: ignore[operator]

    return call.emit([Value(y)], [value], back, place=place)[0]
