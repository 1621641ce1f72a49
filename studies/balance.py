"""The table of wins and losses of the default credit, from the result tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from studies.horizon_report import Runs, evaluated, lead
from studies.pages import table
from studies.proving_ground.arms import DEFAULT, SHIPPED, TABULAR_RIVALS
from studies.proving_ground.report import suite_tables
from studies.proving_ground.tables import before_trust, learning_time, quantile_time
from studies.proving_ground.trials import Result


def balance(folder: Path) -> str:
    """One row a task and rival: with credit, without, and which is ahead."""
    header = ["task", "measure", "LRP credit", "without credit", "ahead"]
    return table(header, [*_deep_rows(folder), *_tabular_rows(folder)])


def _deep_rows(folder: Path) -> list[list[str]]:
    rows = []
    best = evaluated(folder)
    for name, runs in best.items():
        rows += _leads(name, "mean evaluation of PPO, each at its best", runs[SHIPPED], runs)
    for suite in ("deep", "held_out"):
        for task, found in suite_tables(suite, folder):
            if task.name not in best:
                returns = {arm: np.array([run["final_return"] for run in found[arm]]) for arm in found}
                ours = returns[SHIPPED]
                rows += _leads(task.name, "mean return of PPO at the end, default horizon", ours, returns)
    return rows


def _tabular_rows(folder: Path) -> list[list[str]]:
    rows = []
    for name in ("tabular", "further_tasks", "plain_exploration"):
        for task, found in suite_tables(name, folder):
            if DEFAULT not in found or "monte_carlo" not in found:
                continue
            there = [arm for arm in TABULAR_RIVALS if arm in found]
            rival = min(there, key=lambda arm: quantile_time(found[arm], 50).episodes)
            what = f"episodes to 90 %, {rival} (`{name}`)"
            times = (learning_time(found[arm], 50) for arm in (DEFAULT, rival))
            rows.append([task.name, what, *times, _ahead(found[DEFAULT], found[rival])])
    return rows


def _ahead(ours: list[Result], theirs: list[Result]) -> str:
    early, solved = before_trust(ours)
    if solved and 2 * early > solved:
        return "does not tell"
    mine, other = quantile_time(ours, 50), quantile_time(theirs, 50)
    if mine.episodes == other.episodes or not (mine.solved or other.solved):
        return "level"
    return "credit" if mine.solved and (mine.episodes < other.episodes or not other.solved) else "**without**"


def _leads(task: str, what: str, ours: Runs, arms: Mapping[str, Runs]) -> list[list[str]]:
    """A row against each of the two rewards; no lead where its interval holds zero."""
    found = []
    for arm, rival in (("none", "the delayed reward"), ("dense", "the dense one")):
        if arm in arms:
            interval = lead(ours, arms[arm])
            ahead = "credit" if interval.low > 0 else "**without**" if interval.high < 0 else "level"
            found.append([task, f"{what}, {rival}", f"{ours.mean():.1f}", f"{arms[arm].mean():.1f}", ahead])
    return found
