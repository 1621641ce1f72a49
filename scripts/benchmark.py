"""Run a benchmark suite, credit by credit and seed by seed, and write its report.

    python scripts/benchmark.py --suite quick
    python scripts/benchmark.py --suite tabular --processes 2
    python scripts/benchmark.py --suite tabular --arms lrp --seeds 5
    python scripts/benchmark.py --suite tabular --ray
    python scripts/benchmark.py --suite tabular --report-only

A run that is there already is not repeated; one that crashes or meets the cap is recorded as such, and the others go
on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from studies.proving_ground.harness import run_suite, run_suite_on_ray
from studies.proving_ground.report import write_report
from studies.proving_ground.suites import SUITES, Suite
from studies.proving_ground.trials import Job


@dataclass(frozen=True)
class Options:
    """Run a suite and write its report."""

    suite: str = "quick"
    """Which one, see studies/proving_ground/suites.py."""
    tasks: str = ""
    """Only tasks whose id contains this."""
    arms: str = ""
    """Only arms whose name contains this."""
    seeds: int | None = None
    """Only the first so many seeds; all that the suite asks for by default."""
    results: Path = Path("results/benchmarks")
    """One small file a run."""
    processes: int = 2
    """Jobs side by side, one thread each."""
    ray: bool = False
    """Spread the jobs over a Ray cluster in place of local processes."""
    report_only: bool = False
    """Run nothing."""
    report: Path | None = None
    """Page to write when all is done, with its figures beside it."""


def selected(options: Options) -> Suite:
    """The part of the suite that the options ask for.

    Raises:
        ValueError: if there is no such suite, or nothing of it is left.
    """
    if options.suite not in SUITES:
        raise ValueError(f"no suite {options.suite!r}; choose one of {', '.join(SUITES)}")
    suite = SUITES[options.suite]
    tasks = tuple(
        replace(
            task,
            arms=tuple(arm for arm in task.arms if options.arms in arm),
            side_arms=tuple(arm for arm in task.side_arms if options.arms in arm),
        )
        for task in suite.tasks
        if options.tasks in task.env
    )
    if not any(task.arms + task.side_arms for task in tasks):
        raise ValueError(f"no task and arm of suite {options.suite} match {options.tasks!r} and {options.arms!r}")
    return replace(suite, tasks=tasks, seeds=min(suite.seeds, options.seeds or suite.seeds))


def _run(options: Options, suite: Suite) -> Iterator[tuple[Job, str]]:
    if options.ray:
        return run_suite_on_ray(suite, options.results)
    return run_suite(suite, options.results, options.processes)


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options)
    try:
        suite = selected(options)
        for job, status in () if options.report_only else _run(options, suite):
            print(f"{status:<9} {job.task.env:<28} {job.arm:<24} seeds {job.seeds[0]} to {job.seeds[-1]}", flush=True)
        if options.report is not None:
            print(f"written to {write_report(options.report, options.results)}")
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
