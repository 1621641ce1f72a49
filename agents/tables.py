"""Tables of a report, and the numbers in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.trials import Result

Table = dict[str, list[Result]]
"""Results of one task by arm, seeds in order."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def median(results: Sequence[Result], key: str) -> float:
    """Median of a number over the runs that have it; NaN if none has."""
    known = [result[key] for result in results if isinstance(result.get(key), int | float)]
    return float(np.nanmedian(known)) if known and not np.isnan(known).all() else float("nan")
