"""What flows between the processes of a run of RLlib with credit, from the result table, and what a thousand make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rudder_lrp.viewing.statistics import interquartile_mean, stratified_bootstrap
from studies.cost_report import rows_of
from studies.horizon_report import lander_with_credit
from studies.json_lines import Row
from studies.pages import table

_FLOW = {
    "finished episodes": "lessons",
    "messages to the predictor": "messages",
    "MB of lessons, EnvRunners to predictor": "megabytes_of_lessons",
    "MB of weights, predictor to EnvRunners": "megabytes_of_weights",
    "rounds of training, each a version": "rounds",
    "seconds of processor, all EnvRunners": "seconds_of_env_runners",
    "seconds of processor, predictor": "seconds_of_predictor",
}


def rllib_rows(folder: Path) -> dict[str, Row]:
    """Rows of RLlib's PPO with two EnvRunners by agent, alone and with credit."""
    return {row["agent"]: row for row in _rows(folder, env_runners=2)}


def with_four_runners(folder: Path) -> Sequence[str]:
    """Steps and seeds with credit, and interquartile means with their intervals: RLlib's, Stable-Baselines3's."""
    rows = _rows(folder, env_runners=4)
    runs = np.array([row["true_return"] for row in rows]), lander_with_credit(folder)
    told = [stratified_bootstrap(interquartile_mean, [of_one]) for of_one in runs]
    return [f"{rows[0]['timesteps']:,}", str(len(rows)), *(f"{number:.1f}" for found in told for number in found)]


def _rows(folder: Path, env_runners: int) -> list[Row]:
    return [row for row in rows_of(folder, "RLlib PPO") if row["env_runners"] == env_runners]


def flow(folder: Path) -> str:
    """What flows for a million environment steps."""
    row = rllib_rows(folder)["credit"]
    return table(["for a million steps", ""], [[name, f"{row[key]:,}"] for name, key in _FLOW.items()])


def learnt(folder: Path) -> Sequence[str]:
    """Steps, and returns alone and with credit."""
    runs = [rllib_rows(folder)[agent] for agent in ("alone", "credit")]
    return [f"{runs[0]['timesteps']:,}", *(f"{run['true_return']:.0f}" for run in runs)]


def thousand(folder: Path) -> Sequence[str]:
    """Of 1,000 EnvRunners at 1,000 steps a second: lessons and MB a second, kB of a version, MB of it for all."""
    row = rllib_rows(folder)["credit"]
    version = row["megabytes_of_weights"] / row["rounds"] / row["env_runners"]
    sent = (f"{row['lessons']:,}", f"{row['megabytes_of_lessons']:.0f}")
    return [*sent, f"{1000 * version:.0f}", f"{1000 * version:.0f}"]
