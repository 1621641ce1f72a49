"""Figures of a benchmark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.drawing import save
from studies.proving_ground.arms import DEEP, LEARNERS
from studies.proving_ground.curves import at_common_points
from studies.proving_ground.tasks import Task
from studies.proving_ground.trials import Result

Member = tuple[Task, dict[str, list[Result]]]

_COLORS = mpl.colormaps["tab10"].colors


def _style(arms: Sequence[str], arm: str) -> dict[str, object]:
    place = arms.index(arm)
    plain = ("--", ":")[place // 10] if arm in (*LEARNERS, *DEEP) else ("-", "-.")[place // 10]
    return {"color": _COLORS[place % 10], "linestyle": plain, "label": arm}


def _arms(members: Sequence[Member]) -> list[str]:
    return list(dict.fromkeys(arm for _, table in members for arm in table))


def _save(figure: Figure, path: Path, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    save(figure, path)


def draw_curves(path: Path, members: Sequence[Member]) -> None:
    """Return of the greedy policy against episodes, one panel a task: median and quartiles over the seeds."""
    figure = Figure(figsize=(4 * len(members), 3.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(members)))
    arms = _arms(members)
    for panel, (task, table) in zip(panels, members, strict=True):
        for arm, results in table.items():
            curves = [result["curve"] for result in results if "curve" in result]
            if not curves:
                continue
            episodes, returns = at_common_points(curves)
            low, middle, high = np.percentile(returns, [25, 50, 75], axis=0)
            style = _style(arms, arm)
            panel.plot(episodes, middle, linewidth=1.4, **style)
            panel.fill_between(episodes, low, high, color=style["color"], alpha=0.12, linewidth=0)
        panel.set(xscale="log", xlabel="episodes", title=task.name)
    panels[0].set_ylabel("expected return of the greedy policy")
    _save(figure, path, max(panels, key=lambda panel: len(panel.get_lines())))


def draw_deep_curves(path: Path, task: Task, table: dict[str, list[Result]]) -> None:
    """Mean true return of the 100 episodes before against environment steps: the mean of the seeds, and their range.

    Of the main arms: more than a handful cannot be told apart.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    panel = figure.subplots()
    arms = [arm for arm in task.arms if arm in table]
    for arm in arms:
        curves = [np.array(result["curve"]) for result in table[arm] if result.get("curve")]
        if not curves:
            continue
        steps = np.linspace(max(curve[0, 0] for curve in curves), min(curve[-1, 0] for curve in curves), 50)
        returns = np.array([np.interp(steps, *curve.T) for curve in curves])
        style = _style(arms, arm)
        panel.plot(steps, returns.mean(axis=0), linewidth=1.4, **style)
        panel.fill_between(
            steps, returns.min(axis=0), returns.max(axis=0), color=style["color"], alpha=0.08, linewidth=0
        )
    panel.set(xlabel="environment steps", ylabel="true return", title=task.name)
    _save(figure, path, panel)


def draw_delays(path: Path, members: Sequence[Member]) -> None:
    """Median learning time against the delay, both logarithmic; an arrow where half of the runs were not solved."""
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    panel = figure.subplots()
    arms = _arms(members)
    delays = [int(re.search(r"(\d+)-v", task.env).group(1)) for task, _ in members]  # type: ignore[union-attr]
    for place, arm in enumerate(arms):
        shift = 1.0 + 0.012 * (place - len(arms) / 2)  # so that equal times stay visible
        points = [
            (delay * shift, *_median_or_limit(table[arm]))
            for delay, (_, table) in zip(delays, members, strict=True)
            if arm in table
        ]
        x, y, reached = (np.array(column) for column in zip(*points, strict=True))
        style = _style(arms, arm)
        panel.plot(x, y, linewidth=1.2, **style)
        panel.scatter(x[reached], y[reached], color=style["color"], s=18)
        panel.scatter(x[~reached], y[~reached], color=style["color"], marker="^", s=36)
    panel.set(xscale="log", yscale="log", xlabel="delay (steps)", ylabel="episodes to 90 %, median; triangle: more")
    low, high = np.log10(panel.get_ylim())
    panel.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high))
    panel.set_xticks(delays, [str(delay) for delay in delays])
    panel.minorticks_off()
    _save(figure, path, panel)


def _median_or_limit(results: Sequence[Result]) -> tuple[float, bool]:
    times = np.array([result.get("solved_at") or np.inf for result in results])
    median = float(np.percentile(times, 50, method="higher"))
    if np.isfinite(median):
        return median, True
    return max(result.get("episodes", 20) for result in results) / 2, False
