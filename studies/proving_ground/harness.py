"""Runs the jobs of a suite, each in its own process and capped; keeps a small file a run; goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from agents.tabular.credits import CreditConfig
from studies.proving_ground.arms import has_credit
from studies.proving_ground.suites import Suite, Task
from studies.proving_ground.trials import Job, Result, check, jobs, perform

FORMAT = 1
"""Version of the result files."""

Perform = Callable[[Job], dict[int, Result]]


def result_path(folder: Path, task: Task, arm: str, seed: int) -> Path:
    """Where the result of a run belongs; the name changes with the settings of the task and of the credit."""
    settings = _deep_settings(task) if task.timesteps else _tabular_settings(task, has_credit(arm))
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return folder / f"{task.name}_{fingerprint}" / f"{arm.replace('/', '-')}_{seed}.json"


def _deep_settings(task: Task) -> dict[str, Any]:
    return {"env": task.env, "timesteps": task.timesteps}


def _tabular_settings(task: Task, credited: bool) -> dict[str, Any]:
    names = ["env", "learning_rate", "exploration", "episodes" if credited else "baseline_episodes"]
    settings = {name: value for name, value in asdict(task).items() if name in names}
    return settings | ({"credit": asdict(CreditConfig())} if credited else {})


def read_result(path: Path) -> Result:
    """Read the result of a run.

    Raises:
        ValueError: if the file is damaged, or of another version.
    """
    try:
        result: Result = json.loads(path.read_text())
        version = result["format"]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"the result {path} is damaged ({error!r}); delete it, and the run will be repeated"
        ) from error
    if version != FORMAT:
        raise ValueError(
            f"the result {path} has format {version}, this code reads {FORMAT}; "
            "give another results folder, or delete the file to repeat the run"
        )
    return result


def write_result(path: Path, job: Job, seed: int, result: Result) -> None:
    """Write the result of a run, whole or not at all."""
    record = {"format": FORMAT, "env": job.task.env, "arm": job.arm, "seed": seed, **result}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record) + "\n")
    partial.replace(path)


def open_jobs(suite: Suite, folder: Path) -> list[Job]:
    """The jobs that are not done yet; those that crashed or met the cap count as done.

    Raises:
        ValueError: if a task cannot be run, or a file in the folder cannot be read.
    """
    open_ = []
    for task in suite.tasks:
        check(task)
        for arm in (*task.arms, *task.side_arms):
            seeds = suite.seeds_of(task, arm)
            open_ += jobs(task, arm, [seed for seed in seeds if not _done(result_path(folder, task, arm, seed))])
    return open_


def _done(path: Path) -> bool:
    return path.is_file() and bool(read_result(path))


def run_suite(suite: Suite, folder: Path, processes: int, perform: Perform = perform) -> Iterator[tuple[Job, str]]:
    """Run what is missing, each job in a process of its own; yields the jobs with their status as they end."""
    with ThreadPoolExecutor(processes) as pool:
        futures = {
            pool.submit(_run_and_write, job, suite.cap_seconds, folder, perform): job
            for job in open_jobs(suite, folder)
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


def _run_and_write(job: Job, cap_seconds: float, folder: Path, perform: Perform) -> str:
    return _write(folder, job, _guarded(job, cap_seconds, perform))


def _write(folder: Path, job: Job, results: dict[int, Result]) -> str:
    """Write a file for each seed; return the status."""
    for seed, result in results.items():
        write_result(result_path(folder, job.task, job.arm, seed), job, seed, result)
    return str(results[job.seeds[0]]["status"])


def _guarded(job: Job, cap_seconds: float, perform: Perform) -> dict[int, Result]:
    """Run a job in its own process; its results, or what became of it."""
    context = get_context("forkserver")
    # The second one is what Adam imports, 3 s.
    context.set_forkserver_preload(["studies.proving_ground.trials", "torch._dynamo"])
    answers: Any = context.Queue()
    process = context.Process(target=_answer, args=(job, perform, answers), daemon=True)
    process.start()
    return _await(process, answers, cap_seconds, job)


def _await(process: Any, answers: Any, cap_seconds: float, job: Job) -> dict[int, Result]:
    """Wait for the word that the job has begun, which imports may delay, and then for its results until the cap."""
    began: float | None = None
    while began is None or time.monotonic() < began + cap_seconds:
        try:
            answer: dict[int, Result] | None = answers.get(timeout=0.2)
        except queue.Empty:
            if not process.is_alive() and answers.empty():
                return _alike(job, {"status": "crashed", "reason": f"the process ended with {process.exitcode}"})
            continue
        if answer is not None:
            process.join()
            return answer
        began = time.monotonic()
    process.kill()
    process.join()
    return _alike(job, {"status": "capped", "reason": f"not done after {cap_seconds:g} s"})


def _answer(job: Job, perform: Perform, answers: Any) -> None:
    answers.put(None)
    try:
        answers.put(perform(job))
    except Exception as error:
        answers.put(_alike(job, {"status": "crashed", "reason": f"{type(error).__name__}: {error}"}))


def _alike(job: Job, result: Result) -> dict[int, Result]:
    return {seed: dict(result) for seed in job.seeds}


def run_suite_on_ray(suite: Suite, folder: Path, perform: Perform = perform) -> Iterator[tuple[Job, str]]:
    """The same on the machines of a Ray cluster, one task a job; results are written where this is called.

    Raises:
        ImportError: naming the extra, if Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError('Ray is not installed: pip install "rudder-lrp[ray]"') from error
    ray.init(ignore_reinit_error=True, include_dashboard=False)
    task = ray.remote(num_cpus=1, max_retries=0)(_guarded)
    waiting = {task.remote(job, suite.cap_seconds, perform): job for job in open_jobs(suite, folder)}
    while waiting:
        (ended,), _ = ray.wait(list(waiting))
        job = waiting.pop(ended)
        try:
            results = ray.get(ended)
        except ray.exceptions.RayError as error:  # the machine was lost, or lacks a package
            results = _alike(job, {"status": "crashed", "reason": f"{type(error).__name__}: {error}"})
        yield job, _write(folder, job, results)
