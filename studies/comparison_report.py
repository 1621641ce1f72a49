"""What the comparison on the page Start came to, from the record that `rudder-lrp compare` left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studies.pages import table

RECORD = Path(__file__).parents[1] / "docs" / "figures" / "start.json"


def comparison() -> str:
    """The comparison of the page Start: a table, its sentence, and what it took."""
    record = json.loads(RECORD.read_text())
    seconds, versions = record["processor_seconds"], record["versions"]
    probability = record["verdict"]["probability"]
    return "\n".join(
        [
            table(["", "discount", "return, seed by seed", "interquartile mean [95 %]"], _arms(record)),
            f"\n> {record['sentence']}\n",
            f"Probability that a run with credit is better: {probability:.2f}. Tuning and all runs",
            f"of {record['timesteps']:,} steps took {seconds:.0f} s of processor time ({versions['machine']}; torch",
            f"{versions['torch']}, stable-baselines3 {versions['stable-baselines3']}),",
            f"which is at least {seconds / 2:.0f} s on two cores; `docs/figures/start.json` has the runs.",
        ]
    )


def _arms(record: dict[str, Any]) -> list[list[str]]:
    rows = []
    for arm, interval in zip(("with credit", "without"), ("ours", "theirs"), strict=True):
        runs = ", ".join(f"{run['final_return']:.1f}" for run in record["runs"][arm].values())
        mean, low, high = record["verdict"][interval]
        rows.append([arm, f"{record['discounts'][arm]:g}", runs, f"{mean:.1f} [{low:.1f}, {high:.1f}]"])
    return rows
