"""Performance profiles: the share of an arm's runs that come to more than so much (Agarwal et al. 2021, section 4.2).

A mean over seeds hides whether all of them are middling or half of them fail; here every run is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.drawing import save
from studies.episodic_report import ARMS, FEWEST, OURS, last_evaluations
from studies.horizon_report import REWARDS, Runs, evaluated

FIGURE = "figures/profiles.png"

_COLORS = mpl.colormaps["tab10"].colors


class Profile(NamedTuple):
    """Shares of the runs that score above thresholds, `[N]` each, with a pointwise interval of 95 %."""

    share: Runs
    low: Runs
    high: Runs


def performance_profile(runs: Runs, thresholds: Runs, resamples: int = 2000, seed: int = 0) -> Profile:
    """Which share of `runs` is above each of the thresholds `[N]`; the interval is by bootstrap over the runs."""
    above = runs[:, None] > thresholds
    drawn = np.random.default_rng(seed).integers(len(runs), size=(resamples, len(runs)))
    low, high = np.percentile(above[drawn].mean(axis=1), [2.5, 97.5], axis=0)
    return Profile(above.mean(axis=0), low, high)


def compared(folder: Path) -> dict[str, dict[str, Runs]]:
    """Evaluations by task and reward, of whatever has the seeds for a profile."""
    found = {name: {REWARDS[arm]: runs for arm, runs in of_task.items()} for name, of_task in evaluated(folder).items()}
    for name, of_task in last_evaluations(folder).items():
        found[f"episodic {name}"] = {ARMS[arm]: runs for arm, runs in of_task.items()}
    enough = {
        name: {reward: runs for reward, runs in of_task.items() if len(runs) >= FEWEST}
        for name, of_task in found.items()
    }
    return {name: rewards for name, rewards in enough.items() if len(rewards) > 1}


def draw_profiles(path: Path, found: Mapping[str, Mapping[str, Runs]]) -> None:
    """One panel a task, one curve a reward."""
    figure = Figure(figsize=(3.6 * len(found), 3.6), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(found), sharey=True))
    for panel, (name, rewards) in zip(panels, found.items(), strict=True):
        _draw(panel, rewards)
        panel.set(title=name, xlabel="evaluation")
        panel.legend(frameon=False, fontsize=7, loc="lower left")
    panels[0].set_ylabel("share of the seeds above")
    save(figure, path)


def _draw(panel: Axes, rewards: Mapping[str, Runs]) -> None:
    pooled = np.concatenate(list(rewards.values()))
    margin = 0.05 * np.ptp(pooled)
    thresholds = np.linspace(pooled.min() - margin, pooled.max() + margin, 400)
    ours_first = sorted(rewards.items(), key=lambda of_reward: of_reward[0] != ARMS[OURS])  # in one colour everywhere
    for color, (reward, runs) in zip(_COLORS, ours_first, strict=False):
        profile = performance_profile(runs, thresholds)
        panel.plot(thresholds, profile.share, color=color, linewidth=1.4, label=f"{reward} ({len(runs)})")
        panel.fill_between(thresholds, profile.low, profile.high, color=color, alpha=0.12, linewidth=0)
