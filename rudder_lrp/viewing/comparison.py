"""Two arms over several seeds: what can be said of them, in numbers, in a sentence and in a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rudder_lrp.viewing.statistics import (
    Interval,
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
)

Curve = Sequence[tuple[int, float]]
"""Environment steps and the return at each."""

FEWEST = 4
"""Runs of each arm that a verdict takes: with three, chance alone separates equal arms in one case of ten."""

_COLOURS = ("#0b6e4f", "#a63d2f")


@dataclass(frozen=True)
class Verdict:
    """How two arms compare by one number a seed."""

    ours: Interval
    """Interquartile mean with its bootstrap interval."""
    theirs: Interval
    probability: float
    """That a run of ours is better than one of theirs."""
    separate: bool
    """Whether every run of ours is better than every one of theirs."""

    @property
    def decided(self) -> bool:
        """Whether the intervals do not overlap."""
        return self.ours.low > self.theirs.high or self.theirs.low > self.ours.high


def judge(ours: Sequence[float], theirs: Sequence[float]) -> Verdict | None:
    """Compare two arms; None with fewer than `FEWEST` runs of either, from which nothing follows."""
    first, second = np.array(ours, dtype=np.float64), np.array(theirs, dtype=np.float64)
    if min(len(first), len(second)) < FEWEST or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return None
    return Verdict(
        stratified_bootstrap(interquartile_mean, [first]),
        stratified_bootstrap(interquartile_mean, [second]),
        probability_of_improvement(first, second),
        bool(first.min() > second.max()),
    )


def sentence(verdict: Verdict | None, task: str, names: tuple[str, str]) -> str:
    """What came of a comparison; no verdict where the intervals overlap."""
    if verdict is None:
        return f"No verdict on {task}: it takes {FEWEST} runs of each that ended well, with at least one episode."
    ours, theirs = (f"{one.estimate:.1f} [{one.low:.1f}, {one.high:.1f}]" for one in (verdict.ours, verdict.theirs))
    if not verdict.decided:
        return (
            f"No verdict on {task}: {names[0]} {ours}, {names[1]} {theirs}, and the intervals overlap; more seeds or "
            "steps may tell."
        )
    better = verdict.ours.estimate > verdict.theirs.estimate
    every = f", and every seed {names[0]} above every seed {names[1]}" if verdict.separate else ""
    word = "better" if better else "worse"
    return f"{names[0].capitalize()} it is {word} on {task}: {ours} against {theirs}{every}."


def draw_curves(curves: Mapping[str, Sequence[Curve]], title: str, path: Path) -> None:
    """Draw the learning curves of all runs, the interquartile mean of each arm bold, to a PNG.

    Args:
        curves: of the runs, by arm.
        title: of the figure.
        path: of the file.
    """
    figure = Figure(figsize=(6.4, 4.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for colour, (arm, runs) in zip(_COLOURS, curves.items(), strict=True):
        for run in runs:
            axes.plot(*zip(*run, strict=True), color=colour, linewidth=0.7, alpha=0.5)
        if mean := mean_curve(runs):
            axes.plot(*zip(*mean, strict=True), color=colour, linewidth=2.5, label=f"{arm} ({len(runs)} seeds)")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("true return, mean of 100 episodes")
    axes.set_title(title, fontsize=10)
    axes.legend()
    figure.savefig(path)


def mean_curve(runs: Sequence[Curve]) -> list[tuple[int, float]]:
    """Interquartile mean over the runs at the steps that all of them have."""
    tables = [dict(run) for run in runs]
    common = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    return [(step, interquartile_mean([np.array([table[step] for table in tables])])) for step in common]
