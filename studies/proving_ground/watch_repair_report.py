"""The part of a benchmark's report about watch repair, which is not played in lockstep and has its own command."""

from __future__ import annotations

from typing import Any

import numpy as np

from studies.proving_ground.tables import markdown, number

GOAL = 1500
"""Episodes; published for RUDDER are 1.9k to 3.8k."""

Record = dict[str, Any]
"""The result file of `scripts/watch_repair.py`."""

_CREDIT = {
    "on_decisive": "on the decision or the step beside it",
    "true_on_decisive": "of the true credit",
    "rank_correlation": "rank correlation",
    "explained_variance": "explained variance",
}


def credited_summary(record: Record) -> dict[str, Any]:
    """What is known of the agent with credit.

    Raises:
        ValueError: if the record comes from a version that did not measure it.
    """
    for summary in record["agents"].values():
        if "on_decisive" in summary:
            return dict(summary)
    raise ValueError("the result of watch repair says nothing of its credit; run scripts/watch_repair.py again")


def median_episodes(summary: dict[str, Any]) -> float:
    """Infinite if more than half of the runs never decided right."""
    return float(np.median(_episodes(summary)))


def best_rival(record: Record) -> tuple[str, float]:
    """The agent without credit that is fastest in the median, and its episodes."""
    rivals = {name: median_episodes(agent) for name, agent in record["agents"].items() if "on_decisive" not in agent}
    return min(rivals.items(), key=lambda rival: rival[1])


def watch_repair_section(record: Record) -> str:
    """Episodes of each agent, and how near the credit comes to the true one."""
    times = []
    for agent, summary in record["agents"].items():
        found = _episodes(summary)
        solved = f"{np.isfinite(found).sum()}/{len(found)}"
        times.append([agent, *(number(at) for at in (np.median(found), found.min(), found.max())), solved])
    note = f"Episodes until {record['solved']}; from `{record['command']}`. Published for RUDDER: 1.9k to 3.8k.\n"
    credit = credited_summary(record)
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
            markdown(list(_CREDIT.values()), [[f"{credit[key]:.2f}" for key in _CREDIT]]),
        ]
    )


def _episodes(summary: dict[str, Any]) -> np.ndarray:
    return np.array([episodes or np.inf for episodes in summary["episodes"]], dtype=np.float64)
