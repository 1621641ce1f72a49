"""Watch repair: episodes that LRP credit, Monte Carlo and Q-learning need.

    python scripts/watch_repair.py --output results/watch_repair.json

Each agent runs with the learning rate of RUDDER's demonstration (0.1); the two that learn without credit also with a
tenth of it, since averaging over more episodes is their own way to deal with noise.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from agents.tabular.decision import MonteCarlo, QLearning
from agents.tabular.watch_repair import SHARE, WINDOW, Outcome, credited, uncredited
from rudder_lrp.versions import environment_versions


@dataclass(frozen=True)
class Options:
    """Count the episodes until 95 % of the last 750 decisions were right."""

    seeds: int = 20
    """Runs of each agent."""
    cap: int = 100_000
    """Episodes after which a run is given up."""
    processes: int = 2
    """Runs side by side, one thread each."""
    output: Path = Path("results/watch_repair.json")
    """The result file."""


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


def measure(options: Options) -> dict[str, dict[str, Any]]:
    """Run every agent with every seed."""
    seeds = range(options.seeds)
    with ProcessPoolExecutor(
        options.processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        runs = {
            name: [pool.submit(function, *settings, options.cap, seed) for seed in seeds]
            for name, (function, settings) in AGENTS.items()
        }
        return {name: _summary([run.result() for run in started], options.cap) for name, started in runs.items()}


def _summary(outcomes: list[Outcome], cap: int) -> dict[str, Any]:
    episodes = [outcome.episodes for outcome in outcomes]
    median = float(np.median([count or np.inf for count in episodes]))
    credit = {name: float(np.median([outcome.fidelity[name] for outcome in outcomes])) for name in outcomes[0].fidelity}
    summary = {"median": median if np.isfinite(median) else f"> {cap}", "episodes": episodes, **credit}
    print(summary, flush=True)
    return summary


def main() -> None:
    """Run from the command line."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    record = {
        "command": shlex.join(["python", *sys.argv]),
        "solved": f"{SHARE:.0%} of the last {WINDOW} decisions right",
        "cap": options.cap,
        "seeds": list(range(options.seeds)),
        "versions": environment_versions(),
        "agents": measure(options),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    for name, summary in record["agents"].items():
        print(f"{name:<34} {summary['median']}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
