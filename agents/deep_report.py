"""The part of a benchmark's report about deep agents: where they ended, and how far that is on the way to dense."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import envs
from agents.figures import draw_deep_curves
from agents.suites import Task
from agents.tables import Table, markdown, median

_NOTE = """Mean true return of the last 100 training episodes with the lowest and the highest seed, and of evaluation
episodes after training, actions drawn as in training. *Way*: 0 is the delayed reward (`none`), 1 the dense one, or the
optimum where no dense reward exists. `recurrent_ppo` learns from the delayed reward with memory of its own. The
predictor of `credit/structure` decides after each round whether a step earns what it changed in the outlook or its
share of the return; that of an arm that ends in `/outlook` or `/share` always does the one or the other
(`rudder_lrp.training.Predicts`). Seconds are those of `learn`, the median of the runs, which may have shared
the machine.

"""


def deep_sections(name: str, tables: Sequence[tuple[Task, Table]], figures: Path) -> list[str]:
    """Table and learning curves of the deep tasks; nothing if there are none."""
    if not tables:
        return []
    parts = ["### Deep agents\n", _NOTE + deep_table(tables)]
    for task, table in tables:
        short = task.env.rpartition("/")[2]
        draw_deep_curves(figures / f"{name}_{short}.png", task, table)
        parts.append(f"![Learning curves on {short}](figures/{name}_{short}.png)\n")
    return parts


def deep_table(tables: Sequence[tuple[Task, Table]]) -> str:
    """Final return, evaluation, way from delayed to dense and wall time of each arm."""
    rows = []
    for task, table in tables:
        found = ways(task, table)
        for arm, results in table.items():
            finals, evaluations = _finished(results, "final_return"), _finished(results, "evaluation")
            if not len(finals):
                continue
            rows.append(
                [
                    task.env.rpartition("/")[2],
                    arm,
                    str(len(finals)),
                    f"{finals.mean():.1f} [{finals.min():.1f}, {finals.max():.1f}]",
                    f"{evaluations.mean():.1f} [{evaluations.min():.1f}, {evaluations.max():.1f}]",
                    f"{found[arm]:.2f}" if arm in found else "",
                    f"{median(results, 'learning_seconds'):.0f}",
                ]
            )
    return markdown(["task", "arm", "seeds", "final return", "evaluation", "way", "s a run"], rows)


def _finished(results: Sequence[dict[str, object]], key: str) -> np.ndarray:
    return np.array([result[key] for result in results if key in result], dtype=np.float64)


def ways(task: Task, table: Table) -> dict[str, float]:
    """How far each arm came from the delayed reward to the dense one, or to the optimum; empty if an end is missing."""
    means = {arm: found.mean() for arm, results in table.items() if len(found := _finished(results, "final_return"))}
    end = means.get("dense", envs.reference_return(task.env) if "dense" not in task.arms else None)
    if "none" not in means or end is None or end == means["none"]:
        return {}
    start = means["none"]
    return {arm: (mean - start) / (end - start) for arm, mean in means.items()}
