"""Last-step explanations of the HMM classifier by LRP and Captum, scored by tint's white-box metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from rudder_lrp.attribution import CaptumAttribution
from rudder_lrp.lrp import LRP
from studies.signals.hidden_markov import Data, LastStep, StateClassifier, predictions, states_before

Explain = Callable[[Tensor], Tensor]
"""From signals `[B, T, 3]` to the relevance of each step's own input, `[B, T, 3]`."""

LRP_ROWS: dict[str, dict[str, Any]] = {
    "LRP-all": {},
    "LRP-half": {"rule": "half"},
    "LRP-prop": {"rule": "prop"},
    "LRP-abs": {"rule": "abs"},
    "LRP-all, eps 0.1": {"eps": 0.1},
    "LRP-all, eps 1": {"eps": 1.0},
    "LRP-all, norm passes": {"rules": {"regressor.0": "identity"}},
    "LRP-all, gamma head": {"rules": {"regressor.3": "gamma"}},
}
CAPTUM_ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "gradient x input": ("InputXGradient", {}),
    "integrated gradients": ("IntegratedGradients", {"n_steps": 50, "internal_batch_size": 200}),
    "DeepLIFT": ("DeepLift", {}),
}


def last_step(model: StateClassifier, **options: Any) -> Explain:
    """LRP of every step: the classifier over one step, from the states before it."""

    def explain(x: Tensor) -> Tensor:
        before = [part.detach().flatten(0, 1) for part in states_before(model, x)]
        target = predictions(model, x).flatten()
        found = LRP(model, **options).attribute(x.flatten(0, 1)[:, None], target, additional_forward_args=tuple(before))
        return found[:, 0].view_as(x)

    return explain


def by_captum(model: StateClassifier, method: str, options: dict[str, Any]) -> Explain:
    """One of Captum's methods at every step."""

    def explain(x: Tensor) -> Tensor:
        found = CaptumAttribution(LastStep(model), method, **options)
        return found.attribute(x, additional_forward_args=predictions(model, x))

    return explain


def explainers(model: StateClassifier) -> dict[str, Explain]:
    """All of them, by name."""
    rows = {name: last_step(model, **options) for name, options in LRP_ROWS.items()}
    return rows | {name: by_captum(model, *row) for name, row in CAPTUM_ROWS.items()}


def score(relevance: Tensor, salient: Tensor) -> dict[str, float]:
    """AUP, AUR, AUROC and AUPRC of sizes of relevance, as published."""
    from tint.metrics import white_box

    metrics = {"AUP": white_box.aup, "AUR": white_box.aur, "AUROC": white_box.roc_auc, "AUPRC": white_box.auprc}
    return {name: float(metric(relevance.abs(), salient)) for name, metric in metrics.items()}


def measure(model: StateClassifier, data: Data, signals: int | None = None) -> dict[str, Any]:
    """Accuracy, and of each explanation its scores and processor seconds."""
    x, salient = data.x_test[:signals], data.salient[:signals]
    rows = {}
    for name, explain in explainers(model).items():
        start = time.process_time()
        relevance = explain(x)
        rows[name] = {"seconds": time.process_time() - start} | score(relevance, salient)
    accuracy = float((predictions(model, x) == data.y_test[:signals]).float().mean())
    return {"accuracy": accuracy, "signals": len(x), "methods": rows}
