"""Every arm at its best horizon, in tables: what was tried, and how credit compares with the agent alone after that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rudder_lrp.viewing.statistics import (
    Interval,
    Scores,
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
)
from studies.pages import table
from studies.proving_ground.horizons import GRID, PACES, SEEDS, TABLE, Tuning, chosen, tried
from studies.proving_ground.report import suite_tables
from studies.results import ResultTable

REWARDS = {"none": "delayed, PPO alone", "lrp/minimal": "LRP credit", "dense": "dense"}
_ALONE = "none"
_FOR_A_WHILE = 1.3

Runs = NDArray[np.float64]
"""One number a run."""


def horizons_tried(folder: Path) -> str:
    """Mean evaluation of each arm with each horizon; the best one is what the arm is given."""
    best = chosen(folder)
    rows = []
    for (env, arm), means in tried(folder).items():
        cells = [f"{means[Tuning(horizon)]:,.1f}" for horizon in GRID]
        horizon = best[env, arm].horizon
        rows.append([env.rpartition("/")[2], REWARDS[arm], *cells, f"{horizon.gamma}, {horizon.gae_lambda}"])
    return table(["task", "reward", *(f"{gamma}, {trace}" for gamma, trace in GRID), "best"], rows)


def paces_tried(folder: Path) -> str:
    """Mean evaluation of each arm with each pace, at its best horizon; the best one is what the arm is given."""
    best = chosen(folder)
    rows = []
    for (env, arm), means in tried(folder).items():
        horizon, pace = best[env, arm]
        found = [means.get(Tuning(horizon, pace)) for pace in PACES]
        if None not in found:
            cells = [f"{mean:,.1f}" for mean in found]
            rows.append([env.rpartition("/")[2], REWARDS[arm], *cells, f"{pace.learning_rate}, {pace.ent_coef}"])
    return table(["task", "reward", *(f"{rate}, {entropy}" for rate, entropy in PACES), "best"], rows)


def evaluated(folder: Path) -> dict[str, dict[str, Runs]]:
    """Evaluations of all seeds by task and arm, each with the arm's best horizon."""
    found: dict[str, dict[str, Runs]] = {}
    for task, of_task in suite_tables("best_horizons", folder):
        for arm, runs in of_task.items():
            found.setdefault(task.name, {})[arm] = np.array([run["evaluation"] for run in runs], dtype=np.float64)
    return found


def best_horizons(folder: Path) -> str:
    """Interquartile means of the evaluation over the seeds, and of the lead over the agent alone."""
    rows = []
    for name, arms in evaluated(folder).items():
        for arm, runs in arms.items():
            cells = ["", ""]
            if arm != _ALONE and _ALONE in arms:
                better = probability_of_improvement(runs, arms[_ALONE])
                cells = [_told(lead(runs, arms[_ALONE])), f"{better:.2f}"]
            interval = stratified_bootstrap(interquartile_mean, [runs])
            rows.append([name, REWARDS[arm], str(len(runs)), _told(interval), *cells])
    return table(["task", "reward", "seeds", "IQM [95 %]", "lead over PPO alone [95 %]", "probability"], rows)


def with_fewer_rounds(folder: Path) -> list[str]:
    """The lander with credit as it was for a while: a round after every third more lessons."""
    results = ResultTable(folder / f"{TABLE}.jsonl")
    settings = results.fingerprints.known()
    runs = [
        row["evaluation"]
        for row in results.rows()
        if row["env"] == "LunarLander-v3"
        and row["seed"] not in SEEDS
        and settings[row["settings"]].get("redistribution", {}).get("growth") == _FOR_A_WHILE
    ]
    interval = stratified_bootstrap(interquartile_mean, [np.array(runs)])
    return [str(len(runs)), *(f"{value:.1f}" for value in interval)]


def lead(ours: Runs, theirs: Runs) -> Interval:
    """Difference of two interquartile means."""
    return stratified_bootstrap(_difference, [ours, theirs])


def _difference(scores: Scores) -> float:
    ours, theirs = scores
    return interquartile_mean([ours]) - interquartile_mean([theirs])


def _told(interval: Interval) -> str:
    return f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
