"""Cells in rows and columns, and what the four moves do on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
"""Up, down, left, right, as change of row and column."""


def cells(rows: int, columns: int) -> Indices:
    """Row and column of each cell, row by row, `[rows * columns, 2]`."""
    return np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)


def moves(rows: int, columns: int) -> Indices:
    """Cell that each move leads to, `[rows * columns, 4]`; at the border one stays where one is."""
    targets = (cells(rows, columns)[:, None] + MOVES).clip(0, [rows - 1, columns - 1])
    return targets @ np.array([columns, 1])
