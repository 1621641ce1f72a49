"""Run a benchmark suite, credit by credit and seed by seed; write all pages from the result tables.

    python scripts/benchmark.py --suite quick
    python scripts/benchmark.py --suite tabular --processes 2
    python scripts/benchmark.py --suite tabular --arms lrp --seeds 5
    python scripts/benchmark.py --suite tabular --ray
    python scripts/benchmark.py --report

A run that is in the table already is not repeated. One that crashes or meets the cap is recorded as such, and the
others go on; `--retry` repeats those. One that is interrupted, or that memory, disk or machine failed, is not recorded
and runs again at the next call. Several calls at once share the work.
"""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from studies.proving_ground.harness import run_suite, run_suite_on_ray
from studies.proving_ground.suites import SUITES, table_of
from studies.proving_ground.tasks import Suite
from studies.proving_ground.worker import Status
from studies.reports import write_pages
from studies.results import FOLDER


@dataclass(frozen=True)
class Options:
    """Run a suite, or write the pages."""

    suite: str = "quick"
    """Which one, see studies/proving_ground/suites.py."""
    tasks: str = ""
    """Only tasks whose id contains this."""
    arms: str = ""
    """Only arms whose name contains this."""
    without: str | None = None
    """Of these, none whose name contains this."""
    seeds: int | None = None
    """Only the first so many seeds; all that the suite asks for by default."""
    results: Path = FOLDER
    """Folder of the tables, one a suite, a row a run."""
    processes: int = 2
    """Jobs side by side, one thread each."""
    ray: bool = False
    """Spread the jobs over a Ray cluster in place of local processes."""
    retry: bool = False
    """Run again what crashed or met the cap."""
    report: bool = False
    """Run nothing; write README, documentation and figures from the tables."""


def selected(options: Options) -> Suite:
    """The part of the suite that the options ask for.

    Raises:
        ValueError: if there is no such suite, or nothing of it is left.
    """
    if options.suite not in SUITES:
        raise ValueError(f"no suite {options.suite!r}; choose one of {', '.join(SUITES)}")
    suite = SUITES[options.suite]
    tasks = tuple(
        replace(task, arms=_selected(task.arms, options), side_arms=_selected(task.side_arms, options))
        for task in suite.tasks
        if options.tasks in task.env
    )
    if not any(task.arms + task.side_arms for task in tasks):
        raise ValueError(f"no task and arm of suite {options.suite} match {options.tasks!r} and {options.arms!r}")
    return replace(suite, tasks=tasks, seeds=min(suite.seeds, options.seeds or suite.seeds))


def _selected(arms: tuple[str, ...], options: Options) -> tuple[str, ...]:
    kept = (arm for arm in arms if options.arms in arm)
    return tuple(arm for arm in kept if options.without is None or options.without not in arm)


def run(options: Options) -> int:
    """Run what is missing; the number of runs that are not finished."""
    suite, table = selected(options), table_of(options.suite, options.results)
    ended = (
        run_suite_on_ray(suite, table, retry=options.retry)
        if options.ray
        else run_suite(suite, table, options.processes, retry=options.retry)
    )
    failed = 0
    with closing(ended):
        for job, result in ended:
            failed += result["status"] != Status.FINISHED
            print(f"{result['status']:<13} {job.task.env:<28} {job.arm:<24} seeds {job.seeds[0]} to {job.seeds[-1]}")
            print(result.get("traceback", result.get("reason", "")), end="\n" if "reason" in result else "", flush=True)
    return failed


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options)
    try:
        if options.report:
            print(f"written: {', '.join(map(str, write_pages(Path(), options.results)))}")
        elif failed := run(options):
            sys.exit(f"{failed} jobs did not finish; the same command goes on with what was not recorded")
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what is finished is in the table, and the same command goes on")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is as good as Ctrl-C
    main()
