"""Relevance through layers without recurrence: the readout after an LSTM, the encoder before it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rudder_lrp.lrp.model_checks import unwrapped
from rudder_lrp.lrp.rules import Rules, sign, stabilize

ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Tanh,
    nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.ReLU6, nn.Identity,
)  # fmt: skip
"""Activations that relevance passes unchanged."""


def layers_of(module: nn.Module) -> list[nn.Module]:
    """Flatten a Linear or a Sequential of Linear and elementwise activations; dropout falls away.

    Raises:
        TypeError: if there is anything else in it.
    """
    module = unwrapped(module)
    if isinstance(module, nn.Sequential):
        return [layer for part in module for layer in layers_of(part)]
    if isinstance(module, nn.Dropout):
        return []
    if not isinstance(module, (nn.Linear, *ELEMENTWISE)):
        raise TypeError(
            "readout and encoder may be torch.nn.Linear or a torch.nn.Sequential of Linear and elementwise "
            f"activations, got {type(module).__name__}; rebuild that part from these"
        )
    return [module]


class DensePassed(NamedTuple):
    """Outcome of a pass, per row of the batch, `[..., F]` and `[...]`."""

    inputs: Tensor
    bias: Tensor
    stabilizer: Tensor
    per_input: Tensor | None = None
    """Relevance for each unit of each input, where a linear layer comes first."""


class Dense:
    """Linear layers and activations after their forward run.

    Args:
        layers: see `layers_of`.
        inputs: `[..., F]`.
    """

    def __init__(self, layers: list[nn.Module], inputs: Tensor) -> None:
        self.layers = layers
        self.values = [inputs]
        """Before and after each layer."""
        for layer in layers:
            # A copy for the activations that work in place.
            before = self.values[-1].clone() if getattr(layer, "inplace", False) else self.values[-1]
            self.values.append(layer(before))

    @property
    def outputs(self) -> Tensor:
        """After the last layer, `[..., C]`."""
        return self.values[-1]

    def explain(self, selected: Tensor, rules: Rules, exact: bool) -> DensePassed:
        """Start from the outputs where `selected` `[..., C]` is 1 and carry their relevance back to the inputs.

        With `exact` the outputs' own denominators go without stabilizer: there relevance and denominator are equal.
        """
        relevance = selected * self.outputs
        if exact and isinstance(self.layers[-1], nn.Linear):
            passed = _linear(self.layers[-1], self.values[-2], selected, relevance.new_zeros(()), rules.conserve)
            if len(self.layers) == 1:
                return passed
            rest = self._back(len(self.layers) - 1, passed.inputs, rules)
            return rest._replace(bias=rest.bias + passed.bias)
        return self.propagate(relevance, rules)

    def propagate(self, relevance: Tensor, rules: Rules) -> DensePassed:
        """Carry relevance `[..., C]` of the outputs back to the inputs by the epsilon rule."""
        return self._back(len(self.layers), relevance, rules)

    def _back(self, end: int, relevance: Tensor, rules: Rules) -> DensePassed:
        none = relevance.new_zeros(relevance.shape[:-1])
        done = DensePassed(relevance, none, none)
        for at in range(end - 1, -1, -1):
            layer = self.layers[at]
            if isinstance(layer, nn.Linear):
                z = self.values[at + 1]
                s = done.inputs / stabilize(z, rules.eps)
                absorbed = (s * sign(z)).sum(-1) * rules.eps
                passed = _linear(layer, self.values[at], s, absorbed, rules.conserve)
                done = passed._replace(bias=done.bias + passed.bias, stabilizer=done.stabilizer + passed.stabilizer)
            else:
                done = done._replace(per_input=None)
        return done


def _linear(layer: nn.Linear, a: Tensor, s: Tensor, absorbed: Tensor, conserve: bool) -> DensePassed:
    """Share relevance among the inputs of a linear map, given that of each unit of its outputs."""
    per_input = s @ layer.weight
    relevance = a * per_input
    of_bias = s @ layer.bias if layer.bias is not None else torch.zeros_like(s[..., 0])
    if not conserve:
        return DensePassed(relevance, of_bias, absorbed, per_input)
    relevance += ((of_bias + absorbed) / layer.in_features)[..., None]
    return DensePassed(relevance, torch.zeros_like(of_bias), torch.zeros_like(of_bias))
