"""Does an explanation follow the model? Layers made random from the top, one after the other (Adebayo et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

Explainer = Callable[[nn.Module], Callable[[Tensor], Tensor]]


def cascade(model: nn.Module, layers: list[str], inputs: Tensor, explain: Explainer, seed: int = 0) -> dict[str, float]:
    """Mean rank correlation of the sizes of relevance with those of the trained model, after each layer is random.

    Args:
        model: trained.
        layers: names from the output to the input; each is made random on top of those before it.
        inputs: a batch, `[B, T]` or `[B, T, F]`.
        explain: from a model to its explanation.
        seed: of the random weights.
    """
    torch.manual_seed(seed)
    trained, randomised = explain(model)(inputs), deepcopy(model)
    found = {}
    for name in layers:
        for part in randomised.get_submodule(name).modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
        found[name] = _rank_correlation(trained.abs().flatten(1), explain(randomised)(inputs).abs().flatten(1))
    return found


def _rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's, the mean over the rows of `[B, N]`; ties in the order in which they come."""
    ranks = [part.argsort(dim=1, stable=True).argsort(dim=1).double() for part in (first, second)]
    centred = [part - part.mean(1, keepdim=True) for part in ranks]
    products = (centred[0] * centred[1]).sum(1) / (centred[0].norm(dim=1) * centred[1].norm(dim=1))
    return float(products.nanmean())
