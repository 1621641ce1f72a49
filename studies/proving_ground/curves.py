"""Learning curves in few points: what lies on a level between two others is left out, and found again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Curve = Sequence[Sequence[float]]
"""Points `(x, y)`, x ascending."""

POINTS = 16
"""The most that are kept of a curve."""

_DIGITS = 4


def evenly(curve: Curve) -> list[Sequence[float]]:
    """At most 16 points of the curve, its ends among them, at equal distances in its order."""
    kept = np.linspace(0, len(curve) - 1, min(POINTS, len(curve))).round().astype(int)
    return [curve[at] for at in kept]


def thinned(curve: Curve) -> list[list[float]]:
    """The curve with four digits, without the points whose neighbours are level with them."""
    points = [(x, _rounded(y)) for x, y in curve]
    heights = [y for _, y in points]
    last = len(points) - 1
    return [
        [x, y] for at, (x, y) in enumerate(points) if at in (0, last) or not heights[at - 1] == y == heights[at + 1]
    ]


def _rounded(value: float) -> float:
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() else short


def at_common_points(curves: Sequence[Curve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every x that a curve has, `[P]`, and the heights of all curves there, `[N, P]`."""
    found = [np.asarray(curve, dtype=np.float64).T for curve in curves]
    x = np.unique(np.concatenate([curve[0] for curve in found]))
    return x, np.array([np.interp(x, *curve) for curve in found])
