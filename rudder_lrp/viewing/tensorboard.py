"""What a person looks at: one episode's timeline, and the heat map of features over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rudder_lrp.episodes.episode import Array
from rudder_lrp.viewing.metrics import mean_credit_step

_TRUE, _REDISTRIBUTED, _PREDICTED = "#555555", "#0b6e4f", "#1f5fa8"


@dataclass(frozen=True, eq=False)
class Timeline:
    """All that is drawn of one episode."""

    rewards: Array
    """The environment's own, `[T]`."""
    redistributed: Array
    """With the same sum, `[T]`."""
    predictions: Array
    """Predicted return after each step, `[T]`."""
    relevance: Array | None = None
    """Of each feature at each step, `[T, F]`."""
    feature_names: Sequence[str] = ()
    """Names of the F features."""


def draw_timeline(timeline: Timeline, title: str = "", most_features: int = 12) -> Figure:
    """Draw rewards, prediction and, if there is any relevance, its heat map below each other over time.

    Args:
        timeline: the episode.
        title: of the figure; what is shown is said below it.
        most_features: rows of the heat map, those with most absolute relevance.
    """
    rows = 2 if timeline.relevance is None else 3
    figure = Figure(figsize=(9.0, 2.2 * rows + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    figure.suptitle(f"{title}\n{_summary(timeline)}".strip(), fontsize=11)
    _draw_rewards(axes[0], timeline)
    _draw_predictions(axes[1], timeline)
    if timeline.relevance is not None:
        _draw_relevance(axes[2], timeline.relevance, timeline.feature_names, most_features)
    axes[-1].set_xlabel("step of the episode")
    return figure


def _summary(timeline: Timeline) -> str:
    before, after = mean_credit_step(timeline.rewards), mean_credit_step(timeline.redistributed)
    return (
        f"return {timeline.rewards.sum():.4g}, predicted {timeline.predictions[-1]:.4g} | "
        f"reward lies at step {before:.0f} on average, redistributed at step {after:.0f}"
    )


def _draw_rewards(axes: Axes, timeline: Timeline) -> None:
    steps = np.arange(len(timeline.rewards))
    axes.bar(steps, timeline.redistributed, width=1.0, color=_REDISTRIBUTED, label="redistributed reward")
    axes.set_ylabel("redistributed", color=_REDISTRIBUTED)
    _symmetric(axes, timeline.redistributed)
    original = axes.twinx()
    paid = np.flatnonzero(timeline.rewards)
    if len(paid):
        original.vlines(paid, 0.0, timeline.rewards[paid], color=_TRUE, linewidth=1.2)
    original.plot(paid, timeline.rewards[paid], "o", color=_TRUE, markersize=4, label="true reward")
    original.set_ylabel("true", color=_TRUE)
    _symmetric(original, timeline.rewards)
    axes.axhline(0.0, color="black", linewidth=0.6)
    handles = axes.get_legend_handles_labels()[0] + original.get_legend_handles_labels()[0]
    original.legend(handles=handles, fontsize=8, loc="lower right", framealpha=0.8)
    axes.set_title("reward at each step (two scales, one zero line)", fontsize=9, loc="left")


def _symmetric(axes: Axes, values: Array) -> None:
    limit = 1.1 * float(np.abs(values).max()) or 1.0
    axes.set_ylim(-limit, limit)


def _draw_predictions(axes: Axes, timeline: Timeline) -> None:
    axes.plot(timeline.predictions, color=_PREDICTED, label="predicted return")
    axes.axhline(timeline.rewards.sum(), color=_TRUE, linestyle="--", linewidth=1.0, label="true return")
    axes.set_ylabel("return")
    axes.legend(fontsize=8, loc="best", framealpha=0.8)
    axes.set_title("return predicted after each step", fontsize=9, loc="left")


def _draw_relevance(axes: Axes, relevance: Array, names: Sequence[str], most: int) -> None:
    strongest = np.argsort(np.abs(relevance).sum(axis=0))[::-1][:most]
    shown = relevance[:, strongest].T
    limit = float(np.quantile(np.abs(shown), 0.995)) or float(np.abs(shown).max()) or 1.0
    image = axes.imshow(
        shown, aspect="auto", cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest", origin="upper"
    )
    axes.set_yticks(range(len(strongest)), [names[at] for at in strongest], fontsize=7)
    axes.set_title(
        "relevance of the features for the last prediction, LRP-all (blue raised it, red lowered it)",
        fontsize=9,
        loc="left",
    )
    assert axes.figure is not None
    axes.figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03)


def as_image(figure: Figure) -> NDArray[np.uint8]:
    """Render a figure to pixels `[height, width, 3]`."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
