"""Rules for affine maps: linear layers and convolutions.

A map is `z = f(x; w) + b` with `f` linear in `x` and in `w`. A rule says how the relevance of `z` is shared among `x`;
what biases and stabilizers absorb is listed. Where inputs of both signs occur, a contribution `x w` counts by its own
sign. Sources: epsilon and alpha-beta, Bach et al. 2015; w-squared and z-plus, Montavon et al. 2017; flat, Lapuschkin et
al. 2019; gamma, Montavon et al. 2019, for both signs Andéol et al. 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from rudder_lrp.lrp.rules import sign, stabilize


class Affine(NamedTuple):
    """An affine map at work."""

    apply: Callable[[Tensor, Tensor], Tensor]
    """`f(x; w)`."""
    pull: Callable[[Tensor, Tensor], Tensor]
    """The adjoint: from what is shaped like `z` and `w` to what is shaped like `x`."""
    x: Tensor
    weight: Tensor
    bias: Tensor
    """Broadcast against `z`; zero where there is none."""


class Shared(NamedTuple):
    """Outcome of a rule."""

    inputs: Tensor
    bias: Tensor
    """Absorbed, shaped like the output."""
    stabilizer: Tensor
    """The same."""


LayerRule = Callable[[Affine, Tensor, float], Shared]
"""From a map, the relevance of its outputs and eps to that of its inputs."""


def epsilon(layer: Affine, R: Tensor, eps: float) -> Shared:
    """Share by the contributions as they are."""
    z = layer.apply(layer.x, layer.weight) + layer.bias
    s = R / stabilize(z, eps)
    return Shared(layer.x * layer.pull(s, layer.weight), layer.bias * s, eps * sign(z) * s)


def gamma(layer: Affine, R: Tensor, eps: float, emphasis: float = 0.25) -> Shared:
    """Contributions of the sign of the output count `1 + emphasis` times."""
    signs = _Signs.of(layer)
    z = signs.positive + signs.negative
    up = z >= 0.0
    z = z + emphasis * torch.where(up, signs.positive, signs.negative)
    s = R / stabilize(z, eps)
    raised, lowered = s.masked_fill(~up, 0.0), s.masked_fill(up, 0.0)
    inputs = layer.x * layer.pull(s, layer.weight) + emphasis * signs.pull(layer, raised, lowered)
    bias = layer.bias * s + emphasis * (layer.bias.clamp(min=0.0) * raised + layer.bias.clamp(max=0.0) * lowered)
    return Shared(inputs, bias, eps * sign(z) * s)


def alpha_beta(layer: Affine, R: Tensor, eps: float, alpha: float = 2.0) -> Shared:
    """Positive contributions share `alpha`, negative ones `1 - alpha` of the relevance."""
    signs = _Signs.of(layer)
    raised = alpha * R / stabilize(signs.positive, eps)
    lowered = (1.0 - alpha) * R / stabilize(signs.negative, eps)
    bias = layer.bias.clamp(min=0.0) * raised + layer.bias.clamp(max=0.0) * lowered
    absorbed = eps * (sign(signs.positive) * raised + sign(signs.negative) * lowered)
    return Shared(signs.pull(layer, raised, lowered), bias, absorbed)


def flat(layer: Affine, R: Tensor, eps: float) -> Shared:
    """In equal parts to all that feed an output, whatever they are."""
    ones = torch.ones_like(layer.weight)
    s = R / layer.apply(torch.ones_like(layer.x), ones)
    return Shared(layer.pull(s, ones), torch.zeros_like(R), torch.zeros_like(R))


def w_squared(layer: Affine, R: Tensor, eps: float) -> Shared:
    """By the squares of the weights, whatever the inputs are."""
    squares = layer.weight.square()
    z = layer.apply(torch.ones_like(layer.x), squares)
    s = R / stabilize(z, eps)
    return Shared(layer.pull(s, squares), torch.zeros_like(R), eps * sign(z) * s)


class _Signs(NamedTuple):
    """Sums of the positive and of the negative contributions, biases included."""

    positive: Tensor
    negative: Tensor

    @classmethod
    def of(cls, layer: Affine) -> _Signs:
        up, down = layer.x.clamp(min=0.0), layer.x.clamp(max=0.0)
        w_up, w_down = layer.weight.clamp(min=0.0), layer.weight.clamp(max=0.0)
        positive = layer.apply(up, w_up) + layer.apply(down, w_down) + layer.bias.clamp(min=0.0)
        negative = layer.apply(up, w_down) + layer.apply(down, w_up) + layer.bias.clamp(max=0.0)
        return cls(positive, negative)

    def pull(self, layer: Affine, of_positive: Tensor, of_negative: Tensor) -> Tensor:
        """Relevance of the inputs, given that for each unit of both sums."""
        w_up, w_down = layer.weight.clamp(min=0.0), layer.weight.clamp(max=0.0)
        of_up = layer.pull(of_positive, w_up) + layer.pull(of_negative, w_down)
        of_down = layer.pull(of_positive, w_down) + layer.pull(of_negative, w_up)
        return layer.x.clamp(min=0.0) * of_up + layer.x.clamp(max=0.0) * of_down


LAYER_RULES: Mapping[str, LayerRule] = MappingProxyType(
    {
        "epsilon": epsilon,
        "gamma": gamma,
        "alpha-beta": alpha_beta,
        "z-plus": partial(alpha_beta, alpha=1.0),
        "flat": flat,
        "w-squared": w_squared,
    }
)
