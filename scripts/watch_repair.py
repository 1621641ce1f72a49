"""Watch repair: episodes that LRP credit, Monte Carlo and Q-learning need.

    python scripts/watch_repair.py

Each agent runs with the learning rate of RUDDER's demonstration (0.1); the two that learn without credit also with a
tenth of it, since averaging over more episodes is their own way to deal with noise. A run that is in the table already
is not repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import torch
import tyro

from agents.tabular.decision import MonteCarlo, QLearning
from agents.tabular.watch_repair import SHARE, WINDOW, Outcome, credited, uncredited
from studies.provenance import provenance
from studies.proving_ground.watch_repair_report import repair_medians
from studies.results import FOLDER, ResultTable

SOLVED = f"{SHARE:.0%} of the last {WINDOW} decisions right"


@dataclass(frozen=True)
class Options:
    """Count the episodes until 95 % of the last 750 decisions were right."""

    seeds: int = 20
    """Runs of each agent."""
    cap: int = 100_000
    """Episodes after which a run is given up."""
    processes: int = 2
    """Runs side by side, one thread each."""
    output: Path = FOLDER / "watch_repair.jsonl"
    """The result table, a row a run."""


def _monte_carlo(learning_rate: float, cap: int, seed: int) -> Outcome:
    return uncredited(MonteCarlo(2, learning_rate=learning_rate, seed=seed), cap, seed)


def _q_learning(learning_rate: float, cap: int, seed: int) -> Outcome:
    return uncredited(QLearning(2, learning_rate=learning_rate, seed=seed), cap, seed)


AGENTS: dict[str, tuple[Callable[..., Outcome], tuple[float, ...]]] = {
    "LRP credit, direct Q estimation": (credited, ()),
    "Monte Carlo, learning rate 0.1": (_monte_carlo, (0.1,)),
    "Monte Carlo, learning rate 0.01": (_monte_carlo, (0.01,)),
    "Q-learning, learning rate 0.1": (_q_learning, (0.1,)),
    "Q-learning, learning rate 0.01": (_q_learning, (0.01,)),
}


def measure(options: Options) -> None:
    """Run every agent with every seed that is not there yet."""
    table = ResultTable(options.output)
    done = {table.key_of(row) for row in table.rows() if row["cap"] == options.cap}
    missing = [key for key in product(AGENTS, range(options.seeds)) if key not in done]
    with ProcessPoolExecutor(
        options.processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        runs = {pool.submit(_run, agent, options.cap, seed): (agent, seed) for agent, seed in missing}
        for ended in as_completed(runs):
            agent, seed = runs[ended]
            row = {
                "agent": agent,
                "seed": seed,
                "cap": options.cap,
                "solved": SOLVED,
                "episodes": ended.result().episodes,
            }
            table.add([row | ended.result().fidelity | provenance()])
            print(f"{agent:<34} seed {seed:<3} {row['episodes']}", flush=True)


def _run(agent: str, cap: int, seed: int) -> Outcome:
    function, settings = AGENTS[agent]
    return function(*settings, cap, seed)


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    try:
        measure(options)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    for agent, median in repair_medians(ResultTable(options.output).rows()).items():
        print(f"{agent:<34} {median}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
