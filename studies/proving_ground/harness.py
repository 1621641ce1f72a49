"""Runs the jobs of a suite, a row a run in its table; goes on where it stopped, and beside other harnesses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

from filelock import FileLock, Timeout

from studies.json_lines import Row
from studies.provenance import command, commit
from studies.proving_ground.settings import KnownSettings, remember
from studies.proving_ground.tasks import Suite
from studies.proving_ground.trials import Job, Result, check, jobs, perform
from studies.proving_ground.worker import Perform, Status, alike, failed, guarded
from studies.results import Key, ResultTable

Ended = tuple[Job, Result]
"""A job with the result of its first seed; all its seeds have the same status."""

Work = Callable[[Job], dict[int, Result]]


def open_jobs(suite: Suite, table: ResultTable, retry: bool = False) -> list[Job]:
    """The jobs that are not done yet; those that crashed or met the cap count as done, unless they are to be retried.

    Raises:
        ValueError: if a task cannot be run, or the table cannot be read.
    """
    done, known, open_ = _done(table, retry), KnownSettings.beside(table), []
    for task in suite.tasks:
        check(task)
        for arm in (*task.arms, *task.side_arms):
            open_ += jobs(task, arm, _without(done, Job(task, arm, tuple(suite.seeds_of(task, arm))), known))
    return open_


def _without(done: set[Key], job: Job, known: KnownSettings) -> list[int]:
    settings = known.today(job.task, job.arm)
    return [seed for seed in job.seeds if (job.task.env, job.arm, seed, settings) not in done]


def _done(table: ResultTable, retry: bool) -> set[Key]:
    return {table.key_of(row) for row in table.rows() if not retry or row["status"] == Status.FINISHED}


def record(table: ResultTable, job: Job, results: dict[int, Result]) -> None:
    """Add the rows of a job, if it came to something that counts."""
    settings = KnownSettings.beside(table).today(job.task, job.arm)
    rows = [_row(job, seed, settings, result) for seed, result in results.items() if Status(result["status"]).recorded]
    if rows:
        remember(table, job.task, job.arm, settings)
        table.add(rows)


def _row(job: Job, seed: int, settings: str, result: Result) -> Row:
    key = {"env": job.task.env, "arm": job.arm, "seed": seed, "settings": settings}
    made = {name: result[name] for name in ("versions", "machine")}
    measured = {name: value for name, value in result.items() if name not in made}
    return key | measured | {"command": command(), "commit": commit()} | made


@contextmanager
def claimed(table: ResultTable, job: Job, retry: bool = False) -> Iterator[Job]:
    """The job with those of its seeds that nobody else has done or is at; others leave them alone inside the context.

    A claim is a lock on a file, so it ends with its process, however that ends.
    """
    known = KnownSettings.beside(table)
    parts = (table.path.stem, job.task.name, known.today(job.task, job.arm), job.arm.replace("/", "-"))
    with ExitStack() as claims:
        ours = [seed for seed in job.seeds if _claim(claims, table.locks() / f"{'_'.join(parts)}_{seed}.lock")]
        yield replace(job, seeds=tuple(_without(_done(table, retry), replace(job, seeds=tuple(ours)), known)))


def _claim(claims: ExitStack, path: Path) -> bool:
    try:
        claims.enter_context(FileLock(path, timeout=0))
    except Timeout:
        return False
    return True


def run_suite(
    suite: Suite, table: ResultTable, processes: int, perform: Perform = perform, retry: bool = False
) -> Iterator[Ended]:
    """Run what is missing, each job in a process of its own; yields the jobs with their results as they end.

    Where the caller stops early, as by Ctrl-C, what is running is ended and not recorded.
    """
    stopped = Event()
    work = partial(guarded, cap_seconds=suite.cap_seconds, perform=perform, stopped=stopped)
    return _run_all(work, open_jobs(suite, table, retry), table, processes, stopped, retry)


def _run_all(
    work: Work, waiting: list[Job], table: ResultTable, workers: int, stopped: Event, retry: bool
) -> Iterator[Ended]:
    commit()  # of the code as it was loaded; it is remembered
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_run_and_record, work, table, job, retry) for job in waiting]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _run_and_record(work: Work, table: ResultTable, job: Job, retry: bool) -> Ended:
    with claimed(table, job, retry) as ours:
        if not ours.seeds:
            return job, _elsewhere(job)
        results = work(ours)
        try:
            record(table, ours, results)
        except OSError as error:  # not written down, so it runs again
            results = failed(ours, error)
    return ours, results[ours.seeds[0]]


def _elsewhere(job: Job) -> Result:
    return alike(job, Status.ELSEWHERE, "another harness is at it, or has just done it")[job.seeds[0]]


def run_suite_on_ray(
    suite: Suite, table: ResultTable, perform: Perform = perform, retry: bool = False
) -> Iterator[Ended]:
    """The same on the machines of a Ray cluster, one task a job; rows are written where this is called.

    Raises:
        ImportError: naming the extra, if Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError('Ray is not installed: pip install "rudder-lrp[ray]"') from error
    ray.init(ignore_reinit_error=True, include_dashboard=False)
    task, stopped = ray.remote(num_cpus=1, max_retries=0)(guarded), Event()

    def work(job: Job) -> dict[int, Result]:
        running = task.remote(job, suite.cap_seconds, perform)
        while not ray.wait([running], timeout=0.5)[0]:
            if stopped.is_set():
                ray.cancel(running, force=True)
                return alike(job, Status.INTERRUPTED, "the harness was stopped")
        try:
            return dict(ray.get(running))
        except ray.exceptions.RayError as error:  # the machine was lost, or lacks a package
            return alike(job, Status.LOST, f"{type(error).__name__}: {error}")

    workers = max(int(ray.cluster_resources().get("CPU", 1)), 1)
    return _run_all(work, open_jobs(suite, table, retry), table, workers, stopped, retry)
