"""Episodic MuJoCo in a table: SAC with all reward at the end, and how the credits compare over seeds."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np

from rudder_lrp.viewing.statistics import interquartile_mean, probability_of_improvement, stratified_bootstrap
from studies.horizon_report import Runs
from studies.pages import table
from studies.proving_ground.report import suite_tables
from studies.proving_ground.tables import Table
from studies.proving_ground.trials import Result

ARMS = {
    "dense": "dense reward",
    "none": "delayed, alone",
    "uniform": "uniform",
    "rrd/published": "RRD as published",
    "rrd": "RRD, normalised, L2",
    "lrp/accumulator": "LRP credit",
}
OURS = "lrp/accumulator"
FEWEST = 3
"""Seeds, below which there is neither interval nor probability nor profile."""


def episodic_mujoco(folder: Path) -> str:
    """Interquartile means of the last evaluation with their intervals, and the seeds that they are of."""
    rows = []
    for task, found in suite_tables("episodic_mujoco", folder):
        scores = _by_arm(found)
        for arm, runs in scores.items():
            better = "" if arm == OURS else _better(scores.get(OURS, runs[:0]), runs)
            told = [_interval(runs), _each(runs), better, _agreement(found[arm])]
            rows.append([f"`{task.name}`", ARMS[arm], str(len(runs)), *told])
    header = ["task", "reward", "seeds", "IQM [95 %]", "seed by seed", "probability that LRP credit is better"]
    return table([*header, "correlation with the reward held back, half-way, end (seeds)"], rows)


def last_evaluations(folder: Path) -> dict[str, dict[str, Runs]]:
    """The last evaluation of each seed, by task and arm."""
    return {task.name: _by_arm(found) for task, found in suite_tables("episodic_mujoco", folder)}


def _by_arm(found: Table) -> dict[str, Runs]:
    return {arm: np.array([run["evaluation"] for run in found[arm]], dtype=float) for arm in ARMS if arm in found}


def _agreement(runs: list[Result]) -> str:
    """Means over the seeds that it was measured on."""
    curves = [run["held_back"] for run in runs if run.get("held_back")]
    if not curves:
        return "-"
    half, end = (fmean(float(np.interp(share * c[-1][0], *zip(*c, strict=True))) for c in curves) for share in (0.5, 1))
    return f"{half:.2f}, {end:.2f} ({len(curves)})"


def _interval(runs: Runs) -> str:
    if len(runs) < FEWEST:
        return "-"
    found = stratified_bootstrap(interquartile_mean, [runs])
    return f"{found.estimate:,.0f} [{found.low:,.0f}, {found.high:,.0f}]"


def _better(ours: Runs, theirs: Runs) -> str:
    if min(len(ours), len(theirs)) < FEWEST:
        return "-"
    return f"{probability_of_improvement(ours, theirs):.2f}"


def _each(runs: Runs) -> str:
    return ", ".join(f"{run:,.0f}" for run in runs)
