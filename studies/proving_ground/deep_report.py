"""The part of a benchmark's report about deep agents: where they ended, and how far that is on the way to dense."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean

import envs
from studies.proving_ground.figures import draw_deep_curves
from studies.proving_ground.tables import Table, markdown, median, number
from studies.proving_ground.tasks import Task
from studies.proving_ground.trials import Result

_NOTE = """Mean true return of the last 100 training episodes with the lowest and the highest seed, and of evaluation
episodes after training, actions drawn as in training. *Way*: 0 is the delayed reward (`none`), 1 the dense one, or the
optimum where no dense reward exists. The evaluation episodes are the same for all runs of a task; on key-to-door that
matters, where the worth of the apples alone lets the mean of 100 episodes vary by 2.6 (standard deviation).
`recurrent_ppo` learns from the delayed reward with memory of its own. The predictor of `credit/structure` decides after
each round whether a step earns what it changed in the outlook or its share of the return; that of an arm that ends in
`/outlook` or `/share` always does the one or the other (`Predicts`). A number at the end is the
weight of little variation in the predictor's training, 0 elsewhere (`TrainingConfig`). Seconds are
those of `learn`, the median of the runs, which may have shared the machine or come from slower ones.

"""
_CREDIT = {
    "on_decisive": "on decisive steps +-1",
    "true_on_decisive": "of the true credit",
    "rank_correlation": "rank correlation",
    "absolute_credit": "absolute credit",
    "true_absolute_credit": "of the true credit",
    "explained_variance": "explained variance",
}
_CREDIT_NOTE = """Medians over the seeds, after training, on 100 episodes of each agent. On key-to-door what the door is
expected to pay can be computed for any policy (`envs/true_credit.py`), so the true credit here is that of the agent's
own policy. Decisive are taking the key and opening the door. An agent that nearly always gets the key has nearly
nothing left to be credited for: what its absolute credit exceeds the true one by is noise. Where credit is the change
of a prediction, what the prediction errs by is earned at one step and paid back at a later one.

"""


def deep_sections(name: str, tables: Sequence[tuple[Task, Table]], figures: Path) -> list[str]:
    """Table and learning curves of the deep tasks; nothing if there are none."""
    if not tables:
        return []
    parts = ["### Deep agents\n", _NOTE + deep_table(tables)]
    if credit := credit_rows(tables):
        parts += [
            "### Credit of deep agents\n",
            _CREDIT_NOTE + markdown(["task", "arm", "seeds", *_CREDIT.values()], credit),
        ]
    for task, table in tables:
        draw_deep_curves(figures / f"{name}_{task.name}.png", task, table)
        parts.append(f"![Learning curves on {task.name}](figures/{name}_{task.name}.png)\n")
    return parts


def deep_table(tables: Sequence[tuple[Task, Table]]) -> str:
    """Final return, evaluation, both as ways from delayed to dense, and wall time of each arm."""
    rows = []
    for task, table in tables:
        measured = [(key, ways(task, table, key)) for key in ("final_return", "evaluation")]
        for arm, results in table.items():
            if found := _finished(results, "final_return"):
                cells = [cell for key, way in measured for cell in _spread(_finished(results, key), way.get(arm))]
                seconds = number(median(results, "learning_seconds"))
                rows.append([task.name, arm, str(len(found)), *cells, seconds])
    return markdown(["task", "arm", "seeds", "final return", "way", "evaluation", "way", "s a run"], rows)


def credit_rows(tables: Sequence[tuple[Task, Table]]) -> list[list[str]]:
    """How near the credit of each arm comes to the true one, where that is known; a row each."""
    rows = []
    for task, table in tables:
        for arm, results in table.items():
            if known := _finished(results, "on_decisive"):
                medians = (median(results, key) for key in _CREDIT)
                cells = [f"{value:.2f}" if isfinite(value) else "-" for value in medians]
                rows.append([task.name, arm, str(len(known)), *cells])
    return rows


def _spread(values: Sequence[float], way: float | None) -> list[str]:
    return [f"{fmean(values):.1f} [{min(values):.1f}, {max(values):.1f}]", "" if way is None else f"{way:.2f}"]


def _finished(results: Sequence[Result], key: str) -> list[float]:
    return [result[key] for result in results if key in result]


def ways(task: Task, table: Table, key: str = "final_return") -> dict[str, float]:
    """How far each arm came from the delayed reward to the dense one, or to the optimum; empty if an end is missing."""
    means = {arm: fmean(found) for arm, results in table.items() if (found := _finished(results, key))}
    end = means.get("dense", envs.reference_return(task.env) if "dense" not in task.arms else None)
    if "none" not in means or end is None or end == means["none"]:
        return {}
    start = means["none"]
    return {arm: (mean - start) / (end - start) for arm, mean in means.items()}
