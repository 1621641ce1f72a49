"""The same agent with and without credit, over several seeds: the rival at the discount that suits it best."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from rudder_lrp.cli.agent import AgentConfig, Credit, build_agent
from rudder_lrp.cli.environments import describe_delay, environment_factory, outcome_labels
from rudder_lrp.cli.episodes import RECENT
from rudder_lrp.cli.folders import check_writable, new_run, write_settings
from rudder_lrp.cli.hyperparameters import check_at_least, parse_assignments
from rudder_lrp.cli.live import LiveTable
from rudder_lrp.cli.tensorboard import open_log
from rudder_lrp.cli.train import shown_outcomes
from rudder_lrp.cli.versions import environment_versions
from rudder_lrp.cli.workers import LOG, Job, Record, run_all
from rudder_lrp.viewing.comparison import Verdict, draw_curves, judge, mean_curve, sentence
from rudder_lrp.viewing.dashboard import describe_run

WITH, WITHOUT = "with credit", "without"
_STEPS = 30_000

Results = dict[Job, Record]
"""Of the runs that ended well."""


@dataclass(frozen=True)
class Compare:
    """Train the same agent with and without credit over several seeds, and say what came of it."""

    agent: Annotated[AgentConfig, tyro.conf.arg(name="")] = field(default_factory=AgentConfig)
    """What both have in common; --seed is not taken here."""
    timesteps: int | None = None
    """Environment steps of each run; by default what --algo-file says, else 30,000."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One run with and one without credit for each; nothing is chosen by them."""
    discounts: tuple[float, ...] = (0.99, 0.999, 1.0)
    """The agent without credit gets the one that it does best with on the tuning seeds."""
    credit_discounts: tuple[float, ...] = (0.99,)
    """The same for the agent with credit; only one by default, so that nothing is tuned in its favour."""
    tuning_seeds: tuple[int, ...] = (100, 101, 102)
    """Seeds that the discounts are chosen on, none of them among --seeds."""
    processes: int = 0
    """Runs side by side, one thread each; 0 is as many as there are cores."""
    logdir: Path = Path("runs")
    """The comparison gets a numbered folder of its own in here."""


def compare(options: Compare) -> int:
    """Tune, train, judge and report; the exit status, 1 if a run died.

    Raises:
        ValueError: if something in the options cannot be; nothing is written then.
        KeyboardInterrupt: after Ctrl-C, naming what was saved.
    """
    _check(options)
    name = options.agent.env.rpartition(":")[2].rpartition("/")[2]
    folder = new_run(options.logdir, f"compare_{name}_{options.agent.algo}")
    try:
        write_settings(folder, options)
        print(_first_line(options, folder), flush=True)
        return _tune_and_judge(options, folder)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; the runs that had ended are in {folder}") from None


def _tune_and_judge(options: Compare, folder: Path) -> int:
    tuning_jobs = _tuning_jobs(options, folder)
    tuning = _run(tuning_jobs, options)
    if {job.arm for job in tuning_jobs} - {job.arm for job in tuning}:
        print("no run ended well that a discount could be chosen by")
        return _name_the_dead(tuning_jobs, tuning)
    chosen = {arm: _best(tuning, arm, candidates) for arm, candidates in _candidates(options).items()}
    _print_choice(tuning, chosen)
    jobs = _jobs(options, folder, chosen)
    results = _run(jobs, options)
    _report(options, folder, chosen, tuning, results)
    return _name_the_dead([*tuning_jobs, *jobs], tuning | results)


def _check(options: Compare) -> None:
    agent = options.agent
    if agent.credit is Credit.NONE:
        raise ValueError("there is nothing to compare with credit none; choose lrp or difference")
    if agent.seed != 0:
        raise ValueError("compare takes --seeds, one or more, and no --seed")
    if "gamma" in parse_assignments(agent.algo_kwargs):
        raise ValueError("compare chooses the discount itself; give --discounts and --credit-discounts, not gamma")
    for what in ("seeds", "tuning_seeds", "discounts", "credit_discounts"):
        values: Sequence[float] = getattr(options, what)
        if not values or len(set(values)) < len(values):
            raise ValueError(f"--{what.replace('_', '-')} must name different values, got {list(values)}")
    if shared := sorted(set(options.seeds) & set(options.tuning_seeds)):
        raise ValueError(f"seed {shared[0]} is for tuning, too; what is reported must not be what was chosen by")
    check_at_least(1, timesteps=options.timesteps)
    check_at_least(0, processes=options.processes, seeds=min(options.seeds), tuning_seeds=min(options.tuning_seeds))
    if not all(0.0 < discount <= 1.0 for discount in (*options.discounts, *options.credit_discounts)):
        raise ValueError(f"discounts lie in (0, 1], got {[*options.discounts, *options.credit_discounts]}")
    check_writable(options.logdir)
    for credit in (Credit.NONE, agent.credit):
        build_agent(replace(agent, credit=credit), gamma=1.0)


def _steps(options: Compare) -> int:
    return options.timesteps or options.agent.zoo.n_timesteps or _STEPS


def _processes(options: Compare) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return options.processes or cores or 1


def _first_line(options: Compare, folder: Path) -> str:
    agent, runs = options.agent, len(options.seeds)
    tuned = sum(len(found) for found in _candidates(options).values() if len(found) > 1) * len(options.tuning_seeds)
    return (
        f"{agent.env}, {describe_delay(agent.env, agent.delay)}: {agent.algo} with {agent.credit} credit against the "
        f"same without, {runs} seeds of {_steps(options):,} steps each, after {tuned} runs on other seeds to choose "
        f"discounts; {_processes(options)} side by side, to {folder}"
    )


def _candidates(options: Compare) -> dict[str, tuple[float, ...]]:
    return {WITHOUT: options.discounts, WITH: options.credit_discounts}


def _tuning_jobs(options: Compare, folder: Path) -> list[Job]:
    return [
        _job(options, arm, discount, seed, folder / "tuning")
        for arm, candidates in _candidates(options).items()
        if len(candidates) > 1
        for seed in options.tuning_seeds
        for discount in candidates
    ]


def _jobs(options: Compare, folder: Path, chosen: dict[str, float]) -> list[Job]:
    return [
        replace(
            _job(options, arm, chosen[arm], seed, folder),
            tensorboard=True,
            pictures=3 if seed == options.seeds[0] else 0,
        )
        for seed in options.seeds
        for arm in (WITH, WITHOUT)
    ]


def _job(options: Compare, arm: str, discount: float, seed: int, folder: Path) -> Job:
    config = replace(options.agent, seed=seed)
    if arm == WITHOUT:
        config = replace(config, credit=Credit.NONE)
    place = folder / f"{arm.replace(' ', '_')}_discount_{discount:g}_seed_{seed}"
    return Job(arm, config, discount, _steps(options), place)


def _run(jobs: list[Job], options: Compare) -> Results:
    results: Results = {}
    with LiveTable(sum(job.timesteps for job in jobs)) as table:
        for news in run_all(jobs, _processes(options)):
            table.tell(news)
            if news.record is not None:
                results[news.job] = news.record
    return {job: results[job] for job in jobs if job in results}


def _best(tuning: Results, arm: str, candidates: tuple[float, ...]) -> float:
    """The discount with the highest mean return on the tuning seeds; the smallest of those that are level."""
    if len(candidates) == 1:
        return candidates[0]
    means = _tuned(tuning, arm)
    return max(sorted(means), key=lambda discount: means[discount])


def _tuned(tuning: Results, arm: str) -> dict[float, float]:
    discounts = sorted({job.discount for job in tuning if job.arm == arm})
    return {
        discount: float(
            np.mean([run.final_return for job, run in tuning.items() if (job.arm, job.discount) == (arm, discount)])
        )
        for discount in discounts
    }


def _print_choice(tuning: Results, chosen: dict[str, float]) -> None:
    for arm, discount in chosen.items():
        tried = ", ".join(f"{one:g}: {mean:.2f}" for one, mean in _tuned(tuning, arm).items())
        how = f"chosen on other seeds by mean return ({tried})" if tried else "not tuned"
        print(f"{arm}: discount {discount:g}, {how}", flush=True)


def _report(options: Compare, folder: Path, chosen: dict[str, float], tuning: Results, results: Results) -> None:
    runs = {arm: {job.config.seed: run for job, run in results.items() if job.arm == arm} for arm in (WITH, WITHOUT)}
    finals = {arm: [run.final_return for run in of_arm.values()] for arm, of_arm in runs.items()}
    verdict = judge(finals[WITH], finals[WITHOUT])
    said = sentence(verdict, options.agent.env, (WITH, WITHOUT))
    title = f"{options.agent.env}, {describe_delay(options.agent.env, options.agent.delay)}: {options.agent.algo}"
    draw_curves({arm: [run.curve for run in of.values()] for arm, of in runs.items()}, title, folder / "curves.png")
    _write_events(options, folder, runs)
    record = {
        "task": options.agent.env,
        "timesteps": _steps(options),
        "discounts": chosen,
        "tuning": {arm: _tuned(tuning, arm) for arm in chosen},
        "runs": {arm: {seed: asdict(run) for seed, run in of_arm.items()} for arm, of_arm in runs.items()},
        "verdict": None if verdict is None else asdict(verdict),
        "sentence": said,
        "processor_seconds": round(sum(run.processor_seconds for run in (tuning | results).values()), 1),
        "versions": environment_versions(),
    }
    (folder / "comparison.json").write_text(json.dumps(record, indent=1) + "\n")
    _print_table(options, runs, chosen, verdict)
    print(f"{said}\npicture     {folder / 'curves.png'}\nnumbers     {folder / 'comparison.json'}")
    print(f"TensorBoard tensorboard --logdir {folder}", flush=True)


def _print_table(
    options: Compare, runs: dict[str, dict[int, Record]], chosen: dict[str, float], verdict: Verdict | None
) -> None:
    env = environment_factory(options.agent.env, options.agent.delay)()
    labels = outcome_labels(env)
    table = Table(box=None)
    for column in ("", "discount", "seed by seed", "mean", *_outcome_columns(runs, env), "s"):
        table.add_column(column)
    for arm, interval in zip(runs, (None, None) if verdict is None else (verdict.ours, verdict.theirs), strict=True):
        of_arm = runs[arm].values()
        shares = [shown_outcomes(labels, run.outcomes) for run in of_arm]
        table.add_row(
            arm,
            f"{chosen[arm]:g}",
            " ".join(f"{run.final_return:.4g}" for run in of_arm),
            "-" if interval is None else f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]",
            *(_mean([one[name] for one in shares], 2) for name in _outcome_columns(runs, env)),
            _mean([run.seconds for run in of_arm], 0),
        )
    print(f"true return of the last {RECENT} training episodes, interquartile mean [95 %]")
    Console().print(table, highlight=False)
    if verdict is not None:
        print(f"probability that a run with credit is better: {verdict.probability:.2f}")


def _mean(values: Sequence[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f}" if values else "-"


def _outcome_columns(runs: dict[str, dict[int, Record]], env: gym.Env[object, object]) -> list[str]:
    labels = outcome_labels(env)
    found = [shown_outcomes(labels, run.outcomes).keys() for of_arm in runs.values() for run in of_arm.values()]
    return sorted(set.intersection(*map(set, found))) if found else []


def _write_events(options: Compare, folder: Path, runs: dict[str, dict[int, Record]]) -> None:
    writer = open_log(folder / "comparison")
    describe_run(writer, {"task": options.agent.env, "seeds": options.seeds, "steps": _steps(options)})
    for arm, of_arm in runs.items():
        for step, value in mean_curve([run.curve for run in of_arm.values()]):
            writer.add_scalar(f"comparison/{arm}", value, step)
    writer.close()


def _name_the_dead(jobs: list[Job], results: Results) -> int:
    dead = [job for job in jobs if job not in results]
    for job in dead:
        print(f"the run {job.label} died; its log is {job.folder / LOG}")
    return 1 if dead else 0
