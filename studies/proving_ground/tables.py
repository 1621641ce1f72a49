"""Tables of a report, and the numbers in them: learning times, and how they compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from studies.pages import table
from studies.proving_ground.trials import Result

Table = dict[str, list[Result]]
"""Results of one task by arm, seeds in order."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, and an empty line after it where lines are joined."""
    return table(header, rows) + "\n"


def median(results: Sequence[Result], key: str) -> float:
    """Median of a number over the runs that have it; NaN if none has."""
    known = [result[key] for result in results if isinstance(result.get(key), int | float)]
    return float(np.nanmedian(known)) if known and not np.isnan(known).all() else float("nan")


class QuantileTime(NamedTuple):
    """A quantile of the learning times of an arm."""

    episodes: float
    """Half of the run, if it is not solved at that quantile."""
    solved: bool


def times(results: Sequence[Result]) -> np.ndarray:
    """Learning times in episodes, infinite where a run was not solved, crashed or met the cap."""
    return np.array([result.get("solved_at") or np.inf for result in results], dtype=np.float64)


def quantile_time(results: Sequence[Result], percent: float) -> QuantileTime:
    """A percentile of the learning times."""
    found = float(np.percentile(times(results), percent, method="higher"))
    if np.isfinite(found):
        return QuantileTime(found, True)
    return QuantileTime(max(result.get("episodes", 0) for result in results) / 2, False)


def learning_time(results: Sequence[Result], percent: float) -> str:
    """A percentile of the learning times; where it is infinite, that it is above half of a run."""
    found = quantile_time(results, percent)
    return f"{'' if found.solved else '> '}{number(found.episodes)}"


def before_trust(results: Sequence[Result]) -> tuple[int, int]:
    """How many of the runs that were solved, and of how many, had no credit yet: it was not trusted before."""
    solved = [result for result in results if result.get("solved_at")]
    early = [run for run in solved if run["trusted_at"] is None or run["solved_at"] < run["trusted_at"]]
    return len(early), len(solved)


def times_fewer(theirs: QuantileTime, ours: QuantileTime) -> str:
    """Their time by ours, a lower bound if only ours is known."""
    if not ours.solved:
        return "not solved"
    return f"{'' if theirs.solved else '> '}{theirs.episodes / ours.episodes:.3g}"


def number(value: float) -> str:
    """An episode count as in the papers: 457, 8.4k; infinite ones as a dash."""
    if not np.isfinite(value):
        return "-"
    return f"{value:.0f}" if value < 10_000 else f"{value / 1000:.3g}k"
