"""Train the same agent with several credits over several seeds, side by side.

For studies of this repository; `rudder-lrp compare` sets one credit against the agent without, at its best discount.

    python scripts/compare.py --env LunarLander-v3 --timesteps 300000 --seeds 5 --output runs/lunar_lander.jsonl
    python scripts/compare.py --env Pendulum-v1 --algo SAC --n-envs 1 --arms lrp/accumulator dense none \
        --timesteps 20000 --evaluation-episodes 50

Each finished run becomes a row of the output, so that an interrupted comparison goes on where it stopped.
"""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from agents.deep.presets import AgentConfig
from studies.proving_ground.deep_report import deep_table
from studies.proving_ground.harness import run_suite
from studies.proving_ground.report import collect
from studies.proving_ground.settings import KnownSettings
from studies.proving_ground.tasks import Suite, Task
from studies.results import ResultTable


@dataclass(frozen=True)
class Options:
    """Compare credits on one environment."""

    agent: Annotated[AgentConfig, tyro.conf.arg(name="")] = field(default_factory=AgentConfig)
    """What the arms have in common; its seed is the first one."""
    arms: tuple[str, ...] = ("dense", "none", "difference/markov", "lrp/markov", "lrp/accumulator")
    """dense (no delay, no credit), none (no credit), or credit/structure."""
    timesteps: int = 300_000
    """Environment steps of each run."""
    seeds: int = 5
    """Runs of each arm."""
    evaluation_episodes: int = 200
    """Episodes that each agent plays after training."""
    processes: int = 2
    """Runs side by side, one thread each."""
    hours: float = 24.0
    """A run that takes longer is given up."""
    output: Path = Path("runs/comparison.jsonl")
    """The result table, a row a run."""

    def suite(self) -> Suite:
        """The comparison as a suite of one task."""
        task = Task(
            self.agent.env,
            arms=self.arms,
            timesteps=self.timesteps,
            agent=self.agent,
            evaluation_episodes=self.evaluation_episodes,
        )
        return Suite((task,), self.seeds, 3600.0 * self.hours, first_seed=self.agent.seed)


def compare(options: Options) -> str:
    """Run what is not there yet; the table of all arms."""
    suite, table = options.suite(), ResultTable(options.output)
    with closing(run_suite(suite, table, options.processes)) as ended:
        for job, result in ended:
            print(f"{result['status']:<13} {job.arm:<24} seed {job.seeds[0]} {result.get('reason', '')}", flush=True)
    (task,) = suite.tasks
    return deep_table([(task, collect(suite, task, table.rows(), KnownSettings.beside(table)))])


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    try:
        print(compare(options))
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
