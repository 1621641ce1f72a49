"""The part of a benchmark's report about watch repair, which is not played in lockstep and has its own command."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from studies.json_lines import Row
from studies.proving_ground.tables import markdown, number

GOAL = 1500
"""Episodes; published for RUDDER are 1.9k to 3.8k."""

_CREDIT = {
    "on_decisive": "on the decision or the step beside it",
    "true_on_decisive": "of the true credit",
    "rank_correlation": "rank correlation",
    "explained_variance": "explained variance",
}


def by_agent(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The runs of each agent."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["agent"], []).append(row)
    return found


def credited_runs(rows: Sequence[Row]) -> list[Row]:
    """Runs of the agent with credit, by what was measured of it.

    Raises:
        ValueError: if there are none.
    """
    if found := [row for row in rows if "on_decisive" in row]:
        return found
    raise ValueError("the result of watch repair says nothing of its credit; run scripts/watch_repair.py again")


def credit_medians(rows: Sequence[Row]) -> dict[str, float]:
    """What is known of the credit, medians over the seeds."""
    return {name: float(median(run[name] for run in credited_runs(rows))) for name in _CREDIT}


def median_episodes(runs: Sequence[Row]) -> float:
    """Infinite if more than half of the runs never decided right."""
    return float(np.median(_episodes(runs)))


def repair_medians(rows: Sequence[Row]) -> dict[str, str]:
    """Median episodes of each agent, or that they are more than the cap."""
    medians = {agent: (median_episodes(runs), runs[0]["cap"]) for agent, runs in by_agent(rows).items()}
    return {agent: f"{found:g}" if np.isfinite(found) else f"> {cap}" for agent, (found, cap) in medians.items()}


def best_rival(rows: Sequence[Row]) -> tuple[str, float]:
    """The agent without credit that is fastest in the median, and its episodes."""
    rivals = {agent: median_episodes(runs) for agent, runs in by_agent(rows).items() if "on_decisive" not in runs[0]}
    return min(rivals.items(), key=lambda rival: rival[1])


def watch_repair_section(rows: Sequence[Row]) -> str:
    """Episodes of each agent, and how near the credit comes to the true one."""
    times = []
    for agent, runs in by_agent(rows).items():
        found = _episodes(runs)
        solved = f"{np.isfinite(found).sum()}/{len(found)}"
        times.append([agent, *(number(at) for at in (np.median(found), found.min(), found.max())), solved])
    ours = credited_runs(rows)[0]
    note = f"Episodes until {ours['solved']}; from `{ours['command']}`. Published for RUDDER: 1.9k to 3.8k.\n"
    credit_note = (
        "Credit of the sale once the agent decides right, medians over the seeds. The true credit is what each step "
        "changed in the expected sale: every flat tyre, and every step without one.\n"
    )
    return "\n".join(
        [
            "## Watch repair\n",
            note,
            markdown(["agent", "median", "fastest", "slowest", "solved"], times),
            credit_note,
            markdown(list(_CREDIT.values()), [[f"{value:.2f}" for value in credit_medians(rows).values()]]),
        ]
    )


def _episodes(runs: Sequence[Row]) -> np.ndarray:
    return np.array([run["episodes"] or np.inf for run in runs], dtype=np.float64)
