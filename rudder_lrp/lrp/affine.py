"""Linear layers and convolutions of a model, by the rules of `rudder_lrp.lrp.layer_rules`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rudder_lrp.lrp.layer_rules import Affine
from rudder_lrp.lrp.recorder import Call, absorbed
from rudder_lrp.lrp.tape import Passed, Value


def linear(call: Call) -> Tensor:
    """`x W^T + b`."""
    options = call.arguments("input", "weight", "bias")
    return _affine(call, options, nn.functional.linear, lambda s, w: s @ w, trailing=0)


def convolution(call: Call) -> Tensor:
    """A convolution, with any stride, padding, dilation and groups."""
    options = call.arguments("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    rest = {name: value for name, value in options.items() if name not in ("input", "weight", "bias")}
    run = nn.functional.conv1d if call.name == "conv1d" else nn.functional.conv2d
    x: Tensor = options["input"]

    def apply(inputs: Tensor, weight: Tensor) -> Tensor:
        return run(inputs, weight, **rest)

    def pull(s: Tensor, weight: Tensor) -> Tensor:
        leaf = torch.zeros_like(x).requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(apply(leaf, weight), leaf, s)[0]

    return _affine(call, options, apply, pull, trailing=options["weight"].ndim - 2)


def _affine(call: Call, options: dict[str, Any], apply: Any, pull: Any, trailing: int) -> Tensor:
    x, weight, bias = options["input"], options["weight"], options.get("bias")
    value, place = call.value(x), call.place(weight)
    if value is None or call.value(weight) or call.value(bias):
        raise call.refuse("has weights that depend on the inputs, which no rule covers; use weights of its own")
    shown = x.new_zeros(()) if bias is None else bias.detach().view(-1, *[1] * trailing)
    rule = call.recorder.composite.layer_rule(place.name, place.kind)
    layer = Affine(apply, pull, x.detach(), weight.detach(), shown)

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        assert arriving[0] is not None
        shared = rule(layer, arriving[0], call.recorder.composite.eps)
        kept = absorbed("biases", shared.bias, account) + absorbed("stabilizers", shared.stabilizer, account)
        return Passed([shared.inputs], kept)

    return call.emit([Value(call.run().detach())], [value], back, place=place)[0]
