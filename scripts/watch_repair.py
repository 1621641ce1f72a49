"""Watch repair: episodes that LRP credit, Monte Carlo and Q-learning need.

    python scripts/watch_repair.py

Each agent runs with the learning rate of RUDDER's demonstration (0.1); the two that learn without credit also with a
tenth of it, since averaging over more episodes is their own way to deal with noise. A run that is in the table already
is not repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
import tyro

from agents.tabular.learners import Learner, MonteCarlo, QLambda
from studies.provenance import provenance
from studies.proving_ground.watch_repair import SHARE, WINDOW, Outcome, credited, uncredited
from studies.proving_ground.watch_repair_report import repair_medians
from studies.results import FOLDER, Key, ResultTable

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


Runs = Callable[[int, list[int]], list[Outcome]]
"""From the cap and some seeds to what became of each run."""


def _credited(cap: int, seeds: list[int]) -> list[Outcome]:
    return [credited(cap, seed) for seed in seeds]


def _without(learner: type[Learner], learning_rate: float, lambda_: float = 0.0) -> Runs:
    return partial(uncredited, learner, learning_rate, lambda_=lambda_)


CREDITED = "LRP credit, direct Q estimation"
AGENTS: dict[str, Runs] = {
    CREDITED: _credited,
    "Monte Carlo, learning rate 0.1": _without(MonteCarlo, 0.1),
    "Monte Carlo, learning rate 0.01": _without(MonteCarlo, 0.01),
    "Q-learning, learning rate 0.1": _without(QLambda, 0.1),  # lambda is 0
    "Q-learning, learning rate 0.01": _without(QLambda, 0.01),
}


def measure(options: Options) -> None:
    """Run every agent with every seed that is not there yet."""
    table = ResultTable(options.output, "watch_repair")
    done = {table.key_of(row) for row in table.rows() if row["cap"] == options.cap}
    with ProcessPoolExecutor(
        options.processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        runs = {pool.submit(_run, agent, options.cap, seeds): (agent, seeds) for agent, seeds in _jobs(options, done)}
        for ended in as_completed(runs):
            agent, seeds = runs[ended]
            rows = [
                {"agent": agent, "seed": seed, "cap": options.cap, "solved": SOLVED, "episodes": outcome.episodes}
                | outcome.fidelity
                | provenance()
                for seed, outcome in zip(seeds, ended.result(), strict=True)
            ]
            table.add(rows)
            print(f"{agent:<34} seeds {seeds[0]} to {seeds[-1]}: {[row['episodes'] for row in rows]}", flush=True)


def _jobs(options: Options, done: set[Key]) -> Iterator[tuple[str, list[int]]]:
    """Agents without credit go side by side, the others alone."""
    for agent in AGENTS:
        seeds = [seed for seed in range(options.seeds) if (agent, seed) not in done]
        groups = [[seed] for seed in seeds] if agent == CREDITED else [seeds]
        yield from ((agent, group) for group in groups if group)


def _run(agent: str, cap: int, seeds: list[int]) -> list[Outcome]:
    return AGENTS[agent](cap, seeds)


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    try:
        measure(options)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    for agent, median in repair_medians(ResultTable(options.output, "watch_repair").rows()).items():
        print(f"{agent:<34} {median}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
