"""The figures of the faithfulness page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.drawing import save
from studies.faithfulness.tables import by_kind, compared_networks, mean, prediction

Results = Mapping[str, Any]
SCATTERED = (
    "LRP-all",
    "LRP-half",
    "sensitivity",
    "gradient x input",
    "occlusion",
    "contextual decomposition",
)
STYLES: Mapping[str, dict[str, Any]] = {
    "truth": {"color": "black", "linestyle": ":", "linewidth": 2.5},
    "random": {"color": "0.6", "linestyle": ":", "linewidth": 2.5},
    "LRP-all": {"color": "tab:red", "linewidth": 2.5},
    "LRP-all, eps=1e-3": {"color": "tab:red", "linestyle": "--"},
    "LRP-half": {"color": "tab:orange"},
    "sensitivity": {"color": "tab:brown"},
    "gradient x input": {"color": "tab:olive"},
    "integrated gradients": {"color": "tab:green"},
    "occlusion": {"color": "tab:blue"},
    "Shapley sampling": {"color": "tab:cyan"},
    "contextual decomposition": {"color": "tab:purple"},
}


def arithmetic(results: Results) -> Figure:
    """Relevance against number, of one network that subtracts."""
    shown = results["arithmetic"]["subtraction"]["shown"]
    figure = Figure(figsize=(1.9 * len(SCATTERED), 4.0), layout="constrained")
    axes = figure.subplots(2, len(SCATTERED), sharex=True, sharey=True)
    for column, method in enumerate(SCATTERED):
        for row, (mark, slope) in enumerate((("a", 1.0), ("b", -1.0))):
            ax = axes[row, column]
            ax.plot([-1, 1], [-slope, slope], color="0.7", linewidth=1)
            ax.plot(shown["numbers"][row], np.clip(shown["relevances"][method][row], -1.4, 2.4), ".", markersize=4)
            ax.set_ylim(-1.5, 2.5)
            if column == 0:
                ax.set_ylabel(f"relevance of step {mark}")
            if row == 1:
                ax.set_xlabel("its number")
        axes[0, column].set_title(method, fontsize=9)
    figure.suptitle("Subtraction a - b by a one-cell LSTM; grey: what each step deserves", fontsize=11)
    return figure


def curves(results: Results) -> Figure:
    """Deletion and insertion curves of the compared networks."""
    compared = compared_networks(results)
    lengths = list(compared[0]["lengths"])[:: max(1, len(compared[0]["lengths"]) // 2)]
    figure = Figure(figsize=(4.0 * len(lengths) + 2.2, 6.4), layout="constrained")
    axes = figure.subplots(2, len(lengths), sharex=True, sharey="row", squeeze=False)
    for row, kind in enumerate(("deletion", "insertion")):
        for ax, length in zip(axes[row], lengths, strict=True):
            _draw_curves(ax, [network["lengths"][length]["scores"] for network in compared], kind)
            ax.set_title(f"{kind}, T = {length}", fontsize=10)
            ax.set_ylim(-0.2, 1.05)
        axes[row, 0].set_ylabel("agreement with the full prediction")
    for ax in axes[1]:
        ax.set_xlabel("steps taken away or put back, in order of |relevance|")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=9)
    return figure


def _draw_curves(ax: Axes, networks: list[dict[str, Any]], kind: str) -> None:
    for method, style in STYLES.items():
        if method in networks[0]:
            ax.plot(np.mean([scores[method][kind] for scores in networks], axis=0), label=method, **style)
    ax.grid(alpha=0.3)


def structures(results: Results) -> Figure:
    """Quality of the prediction, credit and leak by length, for each structure and forget bias."""
    lengths = list(results["sequences"][0]["lengths"])
    figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    axes = figure.subplots(1, 3, sharex=True)
    for (structure, bias), networks in by_kind(results).items():
        quality = [prediction(networks, length) for length in lengths]
        credit = [mean(networks, length, "LRP-all, steps", itemgetter("correlation")) for length in lengths]
        leak = [mean(networks, length, "LRP-all, steps", itemgetter("leak")) for length in lengths]
        for ax, values in zip(axes, (quality, credit, np.maximum(leak, 1e-7)), strict=True):
            steps = [int(length) for length in lengths]
            ax.plot(steps, values, marker="o", markersize=4, **_structure_style(structure, bias))
    titles = (
        "prediction and truth, correlation",
        "LRP-all of steps and deserved credit, correlation",
        "leak of LRP-all of steps, share",
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set(xlabel="length", xscale="log")
        ax.set_title(title, fontsize=10)
        ax.grid(alpha=0.3)
    axes[2].set_yscale("log")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure


def _structure_style(structure: str, bias: float) -> dict[str, Any]:
    colors = {"standard": "tab:red", "markov": "tab:blue"}
    dashes = {0.0: ":", 1.0: "--", 3.0: "-"}
    if structure not in colors:
        return {"color": "tab:green", "label": structure}
    label = f"{structure}, forget bias {bias:g}"
    return {"color": colors[structure], "linestyle": dashes.get(bias, "-."), "label": label}


FIGURES: Mapping[str, Callable[[Results], Figure]] = {
    "arithmetic": arithmetic,
    "curves": curves,
    "structures": structures,
}


def write_figures(folder: Path, results: Results) -> None:
    """Draw all figures into a folder."""
    for name, draw in FIGURES.items():
        save(draw(results), folder / f"faithfulness_{name}.png")
