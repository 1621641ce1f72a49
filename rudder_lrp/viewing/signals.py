"""Several signals over time with their relevance behind them, and events on one line; each picture readable alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure


def draw_signals(
    signals: np.ndarray, relevance: np.ndarray, names: Sequence[str] = (), title: str = "", unit: str = "step"
) -> Figure:
    """One row a signal; red behind it speaks for the output, blue against it.

    Args:
        signals: `[T, F]`.
        relevance: `[T, F]`; colours are scaled by its largest size, which the colour bar names.
        names: of the signals; numbered by default.
        title: above all.
        unit: of time.

    Raises:
        ValueError: if the shapes differ.
    """
    _check(signals, relevance)
    steps, count = signals.shape
    names = names or [f"signal {at}" for at in range(count)]
    largest = float(np.abs(relevance).max()) or 1.0
    figure = Figure(figsize=(8, 1.0 + 1.1 * count), layout="constrained")
    axes = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for at, axis in enumerate(axes):
        low, high = float(signals[:, at].min()), float(signals[:, at].max())
        extent = (-0.5, steps - 0.5, low, high if high > low else low + 1.0)
        image = axis.imshow(
            relevance[None, :, at], aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest, extent=extent
        )
        axis.plot(np.arange(steps), signals[:, at], color="black", linewidth=1.0)
        axis.set_ylabel(names[at])
    axes[-1].set_xlabel(unit)
    figure.suptitle(title)
    figure.colorbar(image, ax=list(axes), label="relevance")
    return figure


def draw_events(names: Sequence[str], relevance: np.ndarray, title: str = "") -> Figure:
    """Events in their order, a bar for the relevance of each, with its number.

    Args:
        names: what happened, one an event.
        relevance: `[T]`.
        title: above all.

    Raises:
        ValueError: if there is not one number an event.
    """
    _check(np.empty(len(names)), relevance)
    figure = Figure(figsize=(6, 1.0 + 0.3 * len(names)), layout="constrained")
    axis = figure.subplots()
    bars = axis.barh(range(len(names)), relevance, color=np.where(relevance > 0, "tab:red", "tab:blue"))
    axis.bar_label(bars, fmt="%+.2g", padding=3)
    axis.set_yticks(range(len(names)), list(names))
    axis.invert_yaxis()
    axis.margins(x=0.2)
    axis.axvline(0.0, color="black", linewidth=0.8)
    axis.set_xlabel("relevance: for the output (red), against it (blue)")
    figure.suptitle(title)
    return figure


def _check(signals: np.ndarray, relevance: np.ndarray) -> None:
    if signals.shape != relevance.shape:
        raise ValueError(
            f"there must be one relevance a value, got {relevance.shape} for {signals.shape}; reshape one of them"
        )
