"""The table of wins and losses on the page of limits, from the committed results."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from studies.proving_ground.report import suite_tables
from studies.proving_ground.tables import learning_time, quantile_time

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- balance -->\n", "<!-- end -->"
CREDIT = "lrp/leaky"


def rows() -> list[str]:
    """One row a task: with credit, without, and which is ahead."""
    table = ["| task | measure | LRP credit (leaky) | without credit | ahead |", "|---|---|---|---|---|"]
    for name in ("deep", "held_out"):
        for task, found in suite_tables(name, ROOT / "results"):
            ours, theirs = (fmean(run["final_return"] for run in found[arm]) for arm in (CREDIT, "none"))
            table.append(_row(task.name, "PPO, mean return at the end", f"{ours:.1f}", f"{theirs:.1f}", ours > theirs))
            if "dense" in task.arms:
                dense = fmean(run["final_return"] for run in found["dense"])
                what = "the same, against the dense reward"
                table.append(_row(task.name, what, f"{ours:.1f}", f"{dense:.1f}", ours > dense))
    for name in ("tabular", "further_tasks", "plain_exploration"):
        for task, found in suite_tables(name, ROOT / "results"):
            if CREDIT not in found or "monte_carlo" not in found:
                continue
            ours, theirs = (quantile_time(found[arm], 50) for arm in (CREDIT, "monte_carlo"))
            level = ours.episodes == theirs.episodes or not (ours.solved or theirs.solved)
            ahead = None if level else ours.solved and (ours.episodes < theirs.episodes or not theirs.solved)
            what = f"episodes to 90 %, Monte Carlo (`{name}`)"
            table.append(
                _row(task.name, what, *(learning_time(found[arm], 50) for arm in (CREDIT, "monte_carlo")), ahead)
            )
    return table


def _row(task: str, what: str, ours: str, theirs: str, better: bool | None) -> str:
    ahead = "level" if better is None else "credit" if better else "**without**"
    return f"| {task} | {what} | {ours} | {theirs} | {ahead} |"


def with_table(page: str) -> str:
    """The page with the table in its place."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return before + BEGIN + "\n".join(rows()) + "\n" + END + after


if __name__ == "__main__":
    path = ROOT / "docs" / "limits.md"
    path.write_text(with_table(path.read_text()))
