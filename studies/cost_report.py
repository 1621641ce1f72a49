"""What credit costs, as multiples of the agent alone, from the result table."""

from __future__ import annotations

from pathlib import Path

from studies.json_lines import Row
from studies.pages import table
from studies.results import ResultTable

AGENTS = {
    "default": "causal LRP, minimal LSTM (default)",
    "causal": "causal, Markov LSTM",
    "episodic": "episodic LRP, Markov LSTM",
}


def costs(folder: Path) -> str:
    """Wall and processor time of PPO with credit, a column a run: its environment, steps and parallel environments."""
    runs: dict[str, dict[str, Row]] = {}
    for row in sorted(rows_of(folder, "PPO"), key=lambda row: (row["n_envs"], row["timesteps"])):
        run = f"{row['env']}, {row['timesteps']:,} steps, {row['n_envs']:,} environments"
        runs.setdefault(run, {})[row["agent"]] = row
    rows = [[name, *(_ratios(run.get(agent)) for run in runs.values())] for agent, name in AGENTS.items()]
    return table(["credit", *runs], rows)


def _ratios(row: Row | None) -> str:
    return "" if row is None else f"{row['wall_ratio']:.2f} / {row['processor_ratio']:.2f}"


def cost_of_sac(folder: Path) -> list[str]:
    """Steps, and the multiples of SAC alone, on Pendulum and on HalfCheetah."""
    found = {row["env"]: row for row in rows_of(folder, "SAC") if row["agent"] == "default"}
    told = []
    for row in (found["Pendulum-v1"], found["HalfCheetah-v5"]):
        told += [f"{row['timesteps']:,}", *(f"{row[ratio]:.2f}" for ratio in ("wall_ratio", "processor_ratio"))]
    return told


def rows_of(folder: Path, algo: str) -> list[Row]:
    """Rows of an algorithm."""
    return [row for row in ResultTable(folder / "cost.jsonl").rows() if row["algo"] == algo]
