"""The settings of the faithfulness study, and what it measures of one task or one network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rudder_lrp.lrp import LRP
from rudder_lrp.lstm import Structure
from studies.faithfulness import arithmetic, marked_sum
from studies.faithfulness.measures import (
    METHODS,
    SEQUENCE_METHODS,
    arithmetic_scores,
    correlation,
    curve,
    explain_arithmetic,
    explain_steps,
    reference_orders,
    step_scores,
)
from studies.faithfulness.tables import STRUCTURES

SIGNS = {"addition": 1, "subtraction": -1}
SHOWN = 60  # problems of the scatter plot
LRPS = ("LRP-all, steps", "LRP-all", "LRP-all, eps=1e-3")
LEDGERS = {"LRP-all": 1e-5, "LRP-all, eps=1e-3": 1e-3}
SLOW = {"Shapley sampling": 100, "SmoothGrad": 300}
"""Longest sequences on which the slow methods are measured."""


@dataclass(frozen=True)
class ArithmeticStudy:
    """Settings of the arithmetic task."""

    candidates: int = 64
    """Networks that are trained."""
    networks: int = 50
    """The first of them that reach the tolerance are explained."""
    problems: int = 200
    """That are explained, the same for all networks."""
    training: arithmetic.Training = field(default_factory=arithmetic.Training)
    seed: int = 12345
    """Of the problems."""

    @classmethod
    def quick(cls) -> ArithmeticStudy:
        """Two networks, hardly trained."""
        return cls(2, 2, 20, arithmetic.Training(problems=40, iterations=2, tolerance=10.0))


@dataclass(frozen=True)
class SequenceStudy:
    """Settings of the sums over marked steps."""

    seeds: tuple[int, ...] = (0, 1, 2)
    biases: tuple[float, ...] = (0.0, 1.0, 3.0)
    """Forget biases, of the structures that forget."""
    compared_bias: float = 1.0
    """Standard and Markov networks of this forget bias are explained by all methods, others by LRP-all alone."""
    lengths: dict[int, int] = field(default_factory=lambda: {10: 64, 30: 64, 100: 32, 300: 32, 1000: 16})
    """Number of sequences at each length."""
    updates: int = 1500
    removed: int = 8
    """Steps taken away or put back, twice the number of those that matter."""
    seed: int = 54321
    """Of the sequences."""

    @classmethod
    def quick(cls) -> SequenceStudy:
        """Hardly trained networks on short sequences."""
        return cls(seeds=(0,), biases=(1.0,), lengths={8: 8, 12: 4}, updates=3)

    def jobs(self) -> Iterator[tuple[marked_sum.Recipe, list[str]]]:
        """Each network to train with the methods that explain it."""
        for seed in self.seeds:
            for structure in STRUCTURES:
                for bias in (0.0,) if structure is Structure.ACCUMULATOR else self.biases:
                    compared = bias == self.compared_bias
                    methods = list(SEQUENCE_METHODS) if compared else list(LRPS)
                    yield marked_sum.Recipe(structure, bias, seed, updates=self.updates), methods


def measure_arithmetic(study: ArithmeticStudy, task: str) -> dict[str, Any]:
    """Train the networks of a task and score each method on each of them."""
    sign = SIGNS[task]
    parameters, errors = arithmetic.train(sign, range(study.candidates), study.training)
    reached = (errors < study.training.tolerance).nonzero()[: study.networks, 0]
    problems = arithmetic.sample((study.problems,), sign, torch.Generator().manual_seed(study.seed))
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    for index in reached:
        answers = arithmetic.predict(parameters[index], problems.inputs, problems.lengths)
        for name in METHODS:
            relevance = explain_arithmetic(name, parameters[index], problems)
            scores[name].append(arithmetic_scores(relevance, answers, problems))
    return {
        "candidates": study.candidates,
        "seeds": reached.tolist(),
        "largest_error": float(errors[reached].max()),
        "scores": {name: _summary(of_networks) for name, of_networks in scores.items()},
        "ledger": {name: _ledger(parameters[reached], problems, eps) for name, eps in LEDGERS.items()},
        "shown": _shown(parameters[reached[0]], problems),
    }


def _summary(scores: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each measure over the networks."""
    summary = {}
    for measure in scores[0]:
        values = torch.tensor([score[measure] for score in scores], dtype=torch.float64)
        summary[measure] = {"mean": values.mean().item(), "sd": values.std().item()}
    return summary


def _ledger(parameters: Tensor, problems: arithmetic.Problems, eps: float) -> dict[str, float]:
    """Where the relevance of LRP-all ended: mean absolute entry as a share of the mean absolute answer."""
    shares: dict[str, list[float]] = {}
    for of_network in parameters:
        explainer = LRP(*arithmetic.network(of_network), eps=eps)
        ledger = explainer.attribute(problems.inputs, lengths=problems.lengths, return_ledger=True)[1]
        answers = arithmetic.predict(of_network, problems.inputs, problems.lengths).abs().mean()
        for name, entry in ledger._asdict().items():
            shares.setdefault(name, []).append(float(entry.abs().mean() / answers))
    return {name: sum(values) / len(values) for name, values in shares.items()}


def _shown(parameters: Tensor, problems: arithmetic.Problems) -> dict[str, Any]:
    """A few numbers and their relevances, for the eye."""
    few = problems.at(slice(SHOWN))
    relevances = {name: explain_arithmetic(name, parameters, few).T.tolist() for name in METHODS}
    return {"numbers": few.numbers.T.tolist(), "relevances": relevances}


def measure_recipe(study: SequenceStudy, recipe: marked_sum.Recipe, methods: list[str]) -> list[dict[str, Any]]:
    """Train one network and score its explanations, length by length."""
    network = marked_sum.train(recipe)
    generator = torch.Generator().manual_seed(study.seed)
    kind = {"structure": str(recipe.structure), "forget_bias": recipe.forget_bias, "seed": recipe.seed}
    return [
        kind
        | {"length": length}
        | _measure_length(study, network, marked_sum.sample(count, length, generator), methods)
        for length, count in study.lengths.items()
    ]


def _measure_length(
    study: SequenceStudy, network: marked_sum.Trained, sums: marked_sum.Sums, methods: list[str]
) -> dict[str, Any]:
    scores = {}
    for name in methods:
        if sums.inputs.shape[1] <= SLOW.get(name, sums.inputs.shape[1]):
            relevance, seconds = explain_steps(name, network, sums.inputs)
            scores[name] = step_scores(relevance, network, sums, study.removed)
            scores[name]["milliseconds"] = 1000.0 * seconds / len(sums.inputs)
    generator = torch.Generator().manual_seed(study.seed)
    for name, relevance in reference_orders(sums, generator).items():
        order = relevance.abs().argsort(dim=1, descending=True)
        scores[name] = {
            "deletion": curve(network, sums.inputs, order, study.removed, insert=False),
            "insertion": curve(network, sums.inputs, order, study.removed, insert=True),
        }
    with torch.no_grad():
        predictions = network.predict(sums.inputs)
    return {"prediction": correlation(predictions, sums.answers), "scores": scores}
