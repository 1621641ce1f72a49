"""How faithful is an explanation? Measures against a known truth, and the explanations that are compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rudder_lrp import attribution
from rudder_lrp.attribution.protocol import Target
from rudder_lrp.lrp import LRP
from studies.faithfulness import arithmetic, marked_sum


class LRPOfSteps:
    """LRP-all of whole steps: what biases and stabilizers absorb counts for the step at which they act.

    The relevance of a step is spread evenly over its features. See `LRP` for the arguments.
    """

    def __init__(self, lstm: nn.LSTM, readout: nn.Linear, **settings: Any) -> None:
        self._lrp = LRP(lstm, readout, **settings)

    def attribute(self, inputs: Tensor, target: Target = None, *, lengths: Tensor | None = None) -> Tensor:
        """See `Attribution.attribute`; `[B, T, F]` only."""
        steps = self._lrp.explain(inputs, target, lengths).steps
        return (steps / inputs.shape[2])[..., None].expand_as(inputs)


METHODS: Mapping[str, Callable[..., attribution.Attribution]] = {
    "LRP-all": partial(LRP, eps=1e-5),
    "LRP-all, eps=1e-3": partial(LRP, eps=1e-3),
    "LRP-half": partial(LRP, rule="half", eps=1e-5),
    "LRP-prop": partial(LRP, rule="prop", eps=1e-5),
    "LRP-abs": partial(LRP, rule="abs", eps=1e-5),
    "sensitivity": attribution.Sensitivity,
    "gradient x input": attribution.GradientTimesInput,
    "SmoothGrad": partial(attribution.SmoothGrad, samples=25, noise=0.1),
    "integrated gradients": partial(attribution.IntegratedGradients, steps=50),
    "occlusion": partial(attribution.Occlusion, unit="step"),
    "Shapley sampling": partial(attribution.ShapleySampling, samples=25, unit="step"),
    "contextual decomposition": partial(attribution.ContextualDecomposition, unit="step"),
}
"""By name; LRP with eps = 1e-5 unless it says otherwise, what switches inputs off does so a step at a time."""


SEQUENCE_METHODS: Mapping[str, Callable[..., attribution.Attribution]] = {
    "LRP-all, steps": partial(LRPOfSteps, eps=1e-5),
    **METHODS,
}
"""Those that explain sums over marked steps, where steps are what counts."""


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's, over all elements; 0 if one of them does not vary."""
    one, other = one.flatten() - one.mean(), other.flatten() - other.mean()
    norm = (one.square().sum() * other.square().sum()).sqrt()
    return float((one * other).sum() / norm) if norm > 0 else 0.0


def explain_arithmetic(method: str, parameters: Tensor, problems: arithmetic.Problems, **settings: Any) -> Tensor:
    """Relevances of steps a and b, `[B, 2]`, of one network with parameters `[21]`."""
    explainer = METHODS[method](*arithmetic.network(parameters), **settings)
    steps = explainer.attribute(problems.inputs, lengths=problems.lengths).sum(2)
    return steps.gather(1, problems.positions)


def arithmetic_scores(relevance: Tensor, answers: Tensor, problems: arithmetic.Problems) -> dict[str, float]:
    """The three measures of Arras et al. 2019: correlations with n_a and n_b, and how far R_a + R_b miss the answer."""
    return {
        "rho_a": correlation(relevance[:, 0], problems.numbers[:, 0]),
        "rho_b": correlation(relevance[:, 1], problems.numbers[:, 1]),
        "sum_error": float((relevance.sum(1) - answers).square().mean()),
    }


def explain_steps(method: str, network: marked_sum.Trained, inputs: Tensor) -> tuple[Tensor, float]:
    """Relevance of each step, `[B, T]`, and the processor seconds it took."""
    explainer = SEQUENCE_METHODS[method](network.lstm, network.readout, reads=network.reads)
    start = time.process_time()
    relevance = explainer.attribute(inputs).sum(2)
    return relevance, time.process_time() - start


@torch.no_grad()
def step_scores(relevance: Tensor, network: marked_sum.Trained, sums: marked_sum.Sums, removed: int) -> dict[str, Any]:
    """Measures of one explanation `[B, T]` of a network's predictions.

    Returns:
        `correlation` of relevance and what each step deserves; `marked`, the share of absolute relevance on marked
        steps; `leak`, how far the sum misses the prediction without the readout's bias, as a share of it;
        `deletion` and `insertion`, see `curve`.
    """
    explained = network.predict(sums.inputs) - network.readout.bias
    marks = sums.inputs[..., 1]
    order = relevance.abs().argsort(dim=1, descending=True)
    return {
        "correlation": correlation(relevance, sums.deserved),
        "marked": float((relevance.abs() * marks).sum() / relevance.abs().sum()),
        "leak": float((relevance.sum(1) - explained).abs().sum() / explained.abs().sum()),
        "deletion": curve(network, sums.inputs, order, removed, insert=False),
        "insertion": curve(network, sums.inputs, order, removed, insert=True),
    }


@torch.no_grad()
def curve(network: marked_sum.Trained, inputs: Tensor, order: Tensor, most: int, *, insert: bool) -> list[float]:
    """Agreement with the full prediction after the first 0 to `most` steps of an order are taken away or put back.

    Steps are taken from the sequence (deletion; a good order makes the curve fall early) or put into a sequence of
    zeros (insertion; it rises early). Agreement is `1 - E[(f(changed) - f(full))^2] / E[(f(zeros) - f(full))^2]`: 1 for
    the whole sequence, 0 for zeros, negative for what is further off.
    """
    full = network.predict(inputs)
    scale = (network.predict(torch.zeros_like(inputs)) - full).square().mean()
    changed = torch.zeros_like(inputs) if insert else inputs.clone()
    sequences = torch.arange(len(inputs))
    agreements = []
    for count in range(most + 1):
        if count > 0:
            step = order[:, count - 1]
            changed[sequences, step] = inputs[sequences, step] if insert else 0.0
        missed = (network.predict(changed) - full).square().mean()
        agreements.append(float(1.0 - missed / scale))
    return agreements


def reference_orders(sums: marked_sum.Sums, generator: torch.Generator) -> dict[str, Tensor]:
    """What a perfect and a blind explanation would say, as relevances `[B, T]`."""
    return {"truth": sums.deserved, "random": torch.rand(sums.deserved.shape, generator=generator)}
