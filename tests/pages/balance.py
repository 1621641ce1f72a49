"""The table of wins and losses on the page of limits, from the committed results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from studies.horizon_report import Runs, evaluated, lead
from studies.proving_ground.report import suite_tables
from studies.proving_ground.tables import before_trust, learning_time, quantile_time
from studies.proving_ground.trials import Result
from studies.reports import RIVALS

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- balance -->\n", "<!-- end -->"
CREDIT = "lrp/leaky"


def rows() -> list[str]:
    """One row a task: with credit, without, and which is ahead."""
    table = ["| task | measure | LRP credit | without credit | ahead |", "|---|---|---|---|---|"]
    best = evaluated(ROOT / "results")
    for name, runs in best.items():
        table += _leads(name, "mean evaluation of PPO, each at its best horizon", runs["lrp/minimal"], runs)
    for suite in ("deep", "held_out"):
        for task, found in suite_tables(suite, ROOT / "results"):
            if task.name not in best:
                returns = {arm: np.array([run["final_return"] for run in found[arm]]) for arm in found}
                table += _leads(task.name, "mean return of PPO at the end, default horizon", returns[CREDIT], returns)
    for name in ("tabular", "further_tasks", "plain_exploration"):
        for task, found in suite_tables(name, ROOT / "results"):
            if CREDIT not in found or "monte_carlo" not in found:
                continue
            rival = min((arm for arm in RIVALS if arm in found), key=lambda arm: quantile_time(found[arm], 50).episodes)
            what = f"episodes to 90 %, {rival} (`{name}`)"
            times = (learning_time(found[arm], 50) for arm in (CREDIT, rival))
            table.append(f"| {task.name} | {what} | {' | '.join(times)} | {_ahead(found[CREDIT], found[rival])} |")
    return table


def _ahead(ours: list[Result], theirs: list[Result]) -> str:
    early, solved = before_trust(ours)
    if solved and 2 * early > solved:
        return "does not tell"
    mine, other = quantile_time(ours, 50), quantile_time(theirs, 50)
    if mine.episodes == other.episodes or not (mine.solved or other.solved):
        return "level"
    return "credit" if mine.solved and (mine.episodes < other.episodes or not other.solved) else "**without**"


def _leads(task: str, what: str, ours: Runs, arms: Mapping[str, Runs]) -> list[str]:
    """A row against the delayed reward, and one against the dense one; no lead where its interval holds zero."""
    found = []
    for arm, rival in (("none", "the delayed reward"), ("dense", "the dense one")):
        if arm in arms:
            interval = lead(ours, arms[arm])
            ahead = "credit" if interval.low > 0 else "**without**" if interval.high < 0 else "level"
            found.append(f"| {task} | {what}, {rival} | {ours.mean():.1f} | {arms[arm].mean():.1f} | {ahead} |")
    return found


def with_table(page: str) -> str:
    """The page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return before + BEGIN + "\n".join(rows()) + "\n" + END + after


if __name__ == "__main__":
    path = ROOT / "docs" / "limits.md"
    path.write_text(with_table(path.read_text()))
