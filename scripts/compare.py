"""Train the same agent with several credits over several seeds, side by side, and write one small result file.

For studies of this repository; `rudder-lrp compare` sets one credit against the agent without, at its best discount.

    python scripts/compare.py --env LunarLander-v3 --timesteps 300000 --seeds 5 --output runs/lunar_lander.json
    python scripts/compare.py --env Pendulum-v1 --algo SAC --n-envs 1 --arms lrp/accumulator dense none \
        --timesteps 20000 --evaluation-episodes 50 --output results/pendulum.json

Each finished run is kept under `--runs`, so that an interrupted comparison goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import envs
from agents.deep.presets import AgentConfig, Credit, Delay, redistribution_of
from agents.deep.runs import RunResult, run
from rudder_lrp.lstm import Structure
from rudder_lrp.versions import environment_versions


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
    runs: Path = Path("runs/compare")
    """Finished runs, kept for resuming."""
    output: Path = Path("results/comparison.json")
    """The result file."""


def arm_config(options: Options, arm: str, seed: int) -> AgentConfig:
    """The agent of one arm.

    Raises:
        ValueError: if the arm's name is not understood.
    """
    config = replace(options.agent, seed=options.agent.seed + seed)
    if arm == "dense":
        return replace(config, credit=Credit.NONE, delay=Delay.NONE)
    try:
        credit, _, structure = arm.partition("/")
        redistribution = redistribution_of(config)
        if structure:
            redistribution = replace(redistribution, structure=Structure(structure))
        return replace(config, credit=Credit(credit), redistribution=redistribution)
    except ValueError as error:
        raise ValueError(f"unknown arm {arm!r} ({error}); use dense, none or credit/structure") from error


def compare(options: Options) -> dict[str, dict[str, Any]]:
    """Run what is not there yet and collect all results by arm."""
    results: dict[str, list[RunResult]] = {arm: [] for arm in options.arms}
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_run_or_load, options, arm, seed): arm for seed, arm in _jobs(options)}
        for future in as_completed(futures):
            results[futures[future]].append(future.result())
            print(
                f"{futures[future]:<20} {future.result().final_return:9.2f} {future.result().seconds:7.0f} s",
                flush=True,
            )
    return {arm: _summary(runs) for arm, runs in results.items()}


def _jobs(options: Options) -> Iterator[tuple[int, str]]:
    return ((seed, arm) for seed in range(options.seeds) for arm in options.arms)


def _run_or_load(options: Options, arm: str, seed: int) -> RunResult:
    config = arm_config(options, arm, seed)
    path = options.runs / f"{arm.replace('/', '-')}_{config.seed}_{_fingerprint(config, options)}.json"
    if path.is_file():
        return RunResult(**json.loads(path.read_text()))
    result = run(config, options.timesteps, evaluation_episodes=options.evaluation_episodes)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(result)))
    partial.replace(path)
    return result


def _fingerprint(config: AgentConfig, options: Options) -> str:
    settings = asdict(config)
    if config.credit is Credit.NONE:
        del settings["redistribution"]
    settings |= {"timesteps": options.timesteps, "evaluation_episodes": options.evaluation_episodes}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _summary(runs: list[RunResult]) -> dict[str, Any]:
    finals = [round(result.final_return, 2) for result in runs]
    return {
        "mean": round(float(np.mean(finals)), 2),
        "final_returns": finals,
        "evaluations": [round(result.evaluation, 2) for result in runs],
        "mean_evaluation": round(float(np.mean([result.evaluation for result in runs])), 2),
        "outcomes": [result.outcomes for result in runs],
        "median_seconds": round(float(np.median([result.seconds for result in runs])), 1),
        "curves": [result.curve for result in runs],
    }


def add_ways(arms: dict[str, dict[str, Any]]) -> None:
    """Say how far each arm came on the way from the delayed to the dense reward, if both were run.

    By the last 100 training episodes, and by the evaluation episodes: where few but long episodes are played in
    training, the last 100 reach far back.
    """
    if "dense" not in arms or "none" not in arms:
        return
    for way, mean in (("way_from_delayed_to_dense", "mean"), ("way_by_evaluation", "mean_evaluation")):
        start, whole = arms["none"][mean], arms["dense"][mean] - arms["none"][mean]
        for summary in arms.values():
            summary[way] = round((summary[mean] - start) / whole, 3)


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    try:
        for arm in options.arms:
            arm_config(options, arm, 0)
        arms = compare(options)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"error: {error}")
    add_ways(arms)
    record = {
        "command": shlex.join(["python", *sys.argv]),
        "environment": options.agent.env,
        "timesteps": options.timesteps,
        "seeds": list(range(options.agent.seed, options.agent.seed + options.seeds)),
        "optimal_return": envs.reference_return(options.agent.env),
        "versions": environment_versions(),
        "arms": arms,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    for arm, summary in arms.items():
        print(f"{arm:<20} {summary['mean']:9.2f} {summary['median_seconds']:7.0f} s")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
