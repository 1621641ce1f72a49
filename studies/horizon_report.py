"""Every arm at its best horizon, in tables: what was tried, and how credit compares with the agent alone after that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rudder_lrp.viewing.statistics import (
    Interval,
    Scores,
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
)
from studies.json_lines import Row
from studies.pages import table
from studies.proving_ground.arms import SHIPPED
from studies.proving_ground.horizons import GRID, PACES, SEEDS, TABLE, Horizon, Tuning, chosen, tried
from studies.proving_ground.report import suite_tables
from studies.proving_ground.tasks import Task
from studies.proving_ground.trials import Result
from studies.results import ResultTable

REWARDS = {"none": "delayed, PPO alone", SHIPPED: "LRP credit", "dense": "dense"}
_ALONE = "none"
_TODAY, _FOR_A_WHILE = 1.2, 1.3
"""How much longer than the last, in lessons, the way to the next round of training is."""

_BEFORE = "by lessons alone"
"""Rounds, as settings say it that are of the time when a fifth more steps in the lessons brought none."""

Runs = NDArray[np.float64]
"""One number a run."""


def horizons_tried(folder: Path) -> str:
    """Mean evaluation of each arm with each horizon, a row a pace; the best one, set in bold, the arm is given."""
    best = chosen(folder)
    rows = []
    for (env, arm), means in tried(folder).items():
        for pace in PACES:
            of_pace = [Tuning(horizon, pace) for horizon in GRID]
            if means.keys() & set(of_pace):
                cells = [_mean(means.get(tuning), tuning == best[env, arm]) for tuning in of_pace]
                rows.append([env.rpartition("/")[2], REWARDS[arm], f"{pace.learning_rate}, {pace.ent_coef}", *cells])
    return table(["task", "reward", "pace", *(f"{gamma}, {trace}" for gamma, trace in GRID)], rows)


def _mean(found: float | None, best: bool) -> str:
    shown = "" if found is None else f"{found:,.1f}"
    return f"**{shown}**" if best else shown


def evaluated(folder: Path) -> dict[str, dict[str, Runs]]:
    """Evaluations of all seeds by task and arm, each at the arm's best."""
    return _measured(folder, lambda task, run: run["evaluation"])


def on_the_way(folder: Path) -> dict[str, dict[str, Runs]]:
    """The same of the return while training, after a third of the steps."""
    return _measured(folder, lambda task, run: float(np.interp((task.timesteps or 0) / 3, *np.array(run["curve"]).T)))


def _measured(folder: Path, measure: Callable[[Task, Result], float]) -> dict[str, dict[str, Runs]]:
    found: dict[str, dict[str, Runs]] = {}
    for task, of_task in suite_tables("best_horizons", folder):
        for arm, runs in of_task.items():
            found.setdefault(task.name, {})[arm] = np.array([measure(task, run) for run in runs], dtype=np.float64)
    return found


def best_horizons(folder: Path) -> str:
    """Interquartile means over the seeds, and of the lead over the agent alone: the evaluation, and on the way."""
    rows = []
    early = on_the_way(folder)
    for name, arms in evaluated(folder).items():
        for arm, runs in arms.items():
            way = _beside(early[name][arm], None if arm == _ALONE else early[name].get(_ALONE))
            end = _beside(runs, None if arm == _ALONE else arms.get(_ALONE))
            rows.append([name, REWARDS[arm], str(len(runs)), *way[:2], *end])
    header = ["after a third", "lead over PPO alone [95 %]", "evaluation at the end", "lead [95 %]", "probability"]
    return table(["task", "reward", "seeds", *header], rows)


def _beside(runs: Runs, alone: Runs | None) -> list[str]:
    """Interquartile mean, lead over the agent alone and how likely a run is to be the better one."""
    own = _told(stratified_bootstrap(interquartile_mean, [runs]))
    if alone is None:
        return [own, "", ""]
    return [own, _told(lead(runs, alone)), f"{probability_of_improvement(runs, alone):.2f}"]


def lander_with_credit(folder: Path) -> Runs:
    """Evaluations of the lander with the default credit at the library's pace."""
    return _lander(folder, SHIPPED, _TODAY)


def at_the_librarys_pace(folder: Path) -> list[str]:
    """Of the lander, at the horizon that was best then: PPO alone, with credit, dense, and the lead of credit."""
    runs = [_lander(folder, arm, growth) for arm, growth in ((_ALONE, None), (SHIPPED, _TODAY), ("dense", None))]
    means = [f"{interquartile_mean([of_arm]):.1f}" for of_arm in runs]
    return [*means, *(f"{value:.1f}" for value in lead(runs[1], runs[0]))]


def with_fewer_rounds(folder: Path) -> list[str]:
    """The lander with credit as it was for a while: a round after every third more lessons."""
    runs = _lander(folder, SHIPPED, _FOR_A_WHILE)
    return [str(len(runs)), *(f"{value:.1f}" for value in stratified_bootstrap(interquartile_mean, [runs]))]


def by_lessons_alone(folder: Path) -> list[str]:
    """The lander with credit at its best, rounds as they were: mean, interval, worst; and today's worst and best."""
    best = chosen(folder)["LunarLander-v3", SHIPPED].algo_kwargs
    then = np.array(
        [
            row["evaluation"]
            for row, of in _by_lessons_alone(TABLE, folder)
            if row["seed"] not in SEEDS and tuple(of["algo_kwargs"]) == best
        ]
    )
    now = evaluated(folder)["LunarLander-v3"][SHIPPED]
    told = [f"{value:.1f}" for value in stratified_bootstrap(interquartile_mean, [then])]
    return [*told, *(f"{value:.0f}" for value in (then.min(), now.min(), now.max()))]


def hopper_by_lessons_alone(folder: Path) -> list[str]:
    """Return and evaluation of Hopper with rounds as they were, means."""
    rows = [row for row, _ in _by_lessons_alone("deep", folder) if row["env"] == "Hopper-v5"]
    return [f"{np.mean([row[key] for row in rows]):.0f}" for key in ("final_return", "evaluation")]


def _by_lessons_alone(name: str, folder: Path) -> list[tuple[Row, Mapping[str, Any]]]:
    results = ResultTable(folder / f"{name}.jsonl")
    known = results.fingerprints.known()
    pairs = [(row, known[row["settings"]]) for row in results.rows()]
    return [(row, of) for row, of in pairs if of.get("redistribution", {}).get("rounds") == _BEFORE]


def _lander(folder: Path, arm: str, growth: float | None) -> Runs:
    """Evaluations of the lander on the reported seeds, at the library's pace."""
    results = ResultTable(folder / f"{TABLE}.jsonl")
    settings = results.fingerprints.known()
    return np.array(
        [
            row["evaluation"]
            for row in results.rows()
            if (row["env"], row["arm"]) == ("LunarLander-v3", arm) and row["seed"] not in SEEDS
            for own in [settings[row["settings"]]]
            if len(own["algo_kwargs"]) == len(Horizon._fields) and own.get("redistribution", {}).get("growth") == growth
        ]
    )


def lead(ours: Runs, theirs: Runs) -> Interval:
    """Difference of two interquartile means."""
    return stratified_bootstrap(_difference, [ours, theirs])


def _difference(scores: Scores) -> float:
    ours, theirs = scores
    return interquartile_mean([ours]) - interquartile_mean([theirs])


def _told(interval: Interval) -> str:
    return f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
