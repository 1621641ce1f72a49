"""What a person looks at: one episode's timeline, with what the credit of each step comes from.

Drawn to be read at the size of a card in TensorBoard, which is some 330 pixels wide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from rudder_lrp.episodes.episode import Array
from rudder_lrp.episodes.timeline import Timeline, credit_in_words, strongest_features

_PAID, _CREDIT, _DOUBT, _OUTLOOK = "#444444", "#0b6e4f", "#e09f3e", "#1f5fa8"
_WIDTH, _DPI = 4.2, 200
_NAMED = 3  # steps that are named, and frames that are shown


def grouped(relevance: Array, names: Sequence[str], most: int) -> tuple[list[str], Array]:
    """The rows of a heat map, those with most absolute relevance, the rest as one: `[rows, T]` with the same sums."""
    order = np.argsort(-np.abs(relevance).sum(axis=0), kind="stable")
    shown, rest = order[:most], order[most:]
    rest = rest[np.abs(relevance[:, rest]).sum(axis=0) > 0]
    labels, rows = [names[at] for at in shown], relevance[:, shown].T
    if len(rest):
        labels.append(f"{len(rest)} others")
        rows = np.vstack([rows, relevance[:, rest].sum(axis=1)])
    return labels, rows


def draw_timeline(timeline: Timeline, title: str = "", most_features: int = 6) -> Figure:
    """Draw reward, outlook and, on the same axis, where the credit of each step comes from; then name the strongest.

    Args:
        timeline: the episode.
        title: of the figure; what is shown is said below it.
        most_features: rows of the heat map, those with most absolute relevance; all others share one more.
    """
    with_frames = bool(timeline.images)
    figure = Figure(figsize=(_WIDTH, 4.6 + 1.5 * with_frames), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\n{_summary(timeline)}".strip(), fontsize=9)
    grid = figure.add_gridspec(2 + with_frames, 1, height_ratios=[3.6, *([1.4] if with_frames else []), 0.75])
    _draw_over_time(figure.add_subfigure(grid[0]), timeline, most_features)
    if with_frames:
        _draw_frames(figure.add_subfigure(grid[1]), timeline)
    _name_strongest(figure.add_subfigure(grid[1 + with_frames]), timeline)
    return figure


def _draw_over_time(figure: SubFigure, timeline: Timeline, most_features: int) -> None:
    rows = 2 if timeline.relevance is None else 3
    heights = [1.2, 0.9, 1.4][:rows]
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    _draw_rewards(axes[0], timeline)
    _draw_outlook(axes[1], timeline)
    if timeline.relevance is not None:
        _draw_sources(axes[2], *grouped(timeline.relevance, timeline.feature_names, most_features))
    for each in axes:
        each.tick_params(labelsize=7)
        each.set_xlim(-0.5, len(timeline.rewards) - 0.5)
    axes[-1].set_xlabel("step", fontsize=8)


def _summary(timeline: Timeline) -> str:
    return f"return {timeline.rewards.sum():.4g}, predicted {timeline.predictions[-1]:.4g}"


def _draw_rewards(axes: Axes, timeline: Timeline) -> None:
    """Two scales with one zero line: what was paid at once is mostly far larger than what is handed out."""
    steps = np.arange(len(timeline.rewards))
    axes.bar(steps, timeline.redistributed, width=1.0, color=_CREDIT)
    axes.axhline(0.0, color="black", linewidth=0.6)
    _symmetric(axes, timeline.redistributed)
    if timeline.uncertainty is not None:
        low, high = (timeline.redistributed + side * timeline.uncertainty for side in (-1.0, 1.0))
        axes.fill_between(steps, low, high, step="mid", color=_DOUBT, alpha=0.35, linewidth=0.0)
    paid = axes.twinx()
    at = np.flatnonzero(timeline.rewards)
    if len(at):
        paid.vlines(at, 0.0, timeline.rewards[at], color=_PAID, linewidth=1.0)
        paid.plot(at, timeline.rewards[at], "o", color=_PAID, markersize=3)
    _symmetric(paid, timeline.rewards)
    paid.tick_params(labelsize=7, colors=_PAID)
    sure = "" if timeline.uncertainty is None else " \N{PLUS-MINUS SIGN} error bar"
    axes.set_title(f"handed out{sure} (left scale)", fontsize=8, loc="left", color=_CREDIT, pad=3)
    axes.set_title("paid (right scale)", fontsize=8, loc="right", color=_PAID, pad=3)


def _symmetric(axes: Axes, values: Array) -> None:
    limit = 1.1 * float(np.abs(values).max()) or 1.0
    axes.set_ylim(-limit, limit)


def _draw_outlook(axes: Axes, timeline: Timeline) -> None:
    axes.plot(timeline.predictions, color=_OUTLOOK, linewidth=1.2)
    axes.axhline(timeline.rewards.sum(), color=_PAID, linestyle="--", linewidth=1.0)
    axes.set_title("return predicted after each step", fontsize=8, loc="left", color=_OUTLOOK, pad=3)
    axes.set_title("true return", fontsize=8, loc="right", color=_PAID, pad=3)


def _draw_sources(axes: Axes, labels: Sequence[str], rows: Array) -> None:
    # What was paid at once is no news, and would drown the rest.
    late = np.abs([row for label, row in zip(labels, rows, strict=True) if label != "paid"])
    limit = float(np.quantile(late, 0.995)) or float(late.max()) or 1.0
    axes.imshow(rows, aspect="auto", cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest", origin="upper")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_title("where it comes from: blue +, red \N{MINUS SIGN}; columns sum to it", fontsize=8, loc="left", pad=3)


def _draw_frames(figure: SubFigure, timeline: Timeline) -> None:
    """What was seen at the steps with most credit, and which parts of it earned that."""
    seen, relevance = timeline.images[0]
    shown = sorted(timeline.strongest_steps(_NAMED))
    limit = float(np.abs(relevance[shown]).max()) or 1.0
    for axes, step in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        axes.imshow(seen[step], cmap="gray", vmin=0.0, vmax=1.0)
        strength = np.abs(relevance[step]) / limit
        axes.imshow(relevance[step], cmap="RdBu", vmin=-limit, vmax=limit, alpha=0.75 * strength)
        axes.set_title(f"step {step}", fontsize=8, pad=3)
        axes.set_axis_off()


def _name_strongest(figure: SubFigure, timeline: Timeline) -> None:
    lines = [
        f"step {step}: {credit_in_words(timeline, step)} ({strongest_features(timeline, step, 2)})"
        for step in timeline.strongest_steps(_NAMED)
    ]
    figure.text(0.02, 0.95, "\n".join(["most credit:", *lines]), fontsize=7.5, va="top", linespacing=1.4)


def as_image(figure: Figure) -> NDArray[np.uint8]:
    """Render a figure to pixels `[height, width, 3]`."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
