"""What more lessons, or newer ones, would be worth to credit, in a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from studies.json_lines import Row
from studies.pages import table
from studies.proving_ground.report import suite_tables
from studies.proving_ground.tasks import Task

_MEASURED = {
    "error_last": "with the residual at the last step",
    "squared_error": "squared error",
    "correlation": "correlation",
    "credit_without_cause": "credit without cause",
    "largest_on_decisive": "largest on decisive",
}

Truths = list[Mapping[str, float]]
"""Of each seed, by the names in `studies.proving_ground.credit_truth.CreditTruth`."""


def lessons_and_their_age(folder: Path) -> str:
    """Credit beside the true one after lessons of the policy and of earlier ones; medians, and ranges of the errors."""
    rows = [
        [task.name, learnt_from, str(len(truths)), _range(truths), *_medians(truths)]
        for task, found in suite_tables("lessons", folder)
        for learnt_from, truths in _learnt_from(task, [run for runs in found.values() for run in runs])
        if truths
    ]
    return table(["task", "learnt from", "seeds", "squared error / none", *_MEASURED.values()], rows)


def _learnt_from(task: Task, runs: Sequence[Row]) -> Iterator[tuple[str, Truths]]:
    steps, study = task.timesteps, task.lessons
    assert steps is not None
    assert study is not None
    studied = [run for run in runs if "in_hindsight" in run]
    # While an episode runs there is no other place for what is left of the return than its last step.
    yield f"the loop, {steps:,} steps, as handed out", [run | {"error_last": run["error"]} for run in studied]
    yield f"the loop, {steps:,} steps, in hindsight", [run["in_hindsight"] for run in studied]
    for key, said in (("by_lessons", "{:,} lessons"), ("by_age", f"{study.aged} of {{:,.0f}} steps before")):
        for at in range(max((len(run[key]) for run in studied), default=0)):
            points = [run[key][at] for run in studied]
            learnt_from = points[0][0] * (steps if key == "by_age" else 1)
            yield said.format(learnt_from), [truth for _, truth in points]


def _range(truths: Truths) -> str:
    errors = [truth["error"] for truth in truths]
    return f"{median(errors):.2f} [{min(errors):.2f}, {max(errors):.2f}]"


def _medians(truths: Truths) -> list[str]:
    return [f"{median(truth[key] for truth in truths):.2f}" for key in _MEASURED]
