"""Images as features: what a grid sees of them, so that episodes of images fit into memory.

Each cell of the grid is the mean brightness of its part of one channel, in [0, 1]. Small things still show, as a
change of their cell, and the relevance of a cell can be laid over the picture. What the cells show together, the
convolutional network of `rudder_lrp.prediction.encoder` learns to see.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

_MOST_FEATURES = 1024
_FINEST = 16


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether a space shows pictures: three axes of unsigned bytes, or of floats from 0 to 1."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        return False
    return space.dtype == np.uint8 or bool((space.low == 0.0).all() and (space.high == 1.0).all())


def _channels_first(space: spaces.Box) -> bool:
    return int(np.argmin(space.shape)) == 0


def grid_shape(space: spaces.Box) -> tuple[int, int, int]:
    """Rows, columns and channels of the grid: at most 16 x 16, coarser where there are many channels."""
    first = _channels_first(space)
    channels = space.shape[0 if first else 2]
    height, width = space.shape[1:] if first else space.shape[:2]
    side = min(max(int((_MOST_FEATURES / channels) ** 0.5), 1), _FINEST)
    return min(side, height), min(side, width), channels


def pool(space: spaces.Box, images: NDArray[Any]) -> NDArray[np.float32]:
    """Mean brightness of each cell of the grid, `[N, rows * columns * channels]`, of N images."""
    if _channels_first(space):
        images = np.moveaxis(images, 1, -1)
    rows, columns, _ = grid_shape(space)
    sums: NDArray[np.float64] = images.astype(np.float64)
    for axis, parts in ((1, rows), (2, columns)):
        edges = np.linspace(0, sums.shape[axis], parts + 1).astype(int)
        areas = np.diff(edges).reshape(-1, *([1] * (3 - axis)))
        sums = np.add.reduceat(sums, edges[:-1], axis=axis) / areas
    brightest = 255.0 if space.dtype == np.uint8 else 1.0
    return (sums / brightest).reshape(len(images), -1).astype(np.float32)


def grid_names(space: spaces.Box, prefix: str) -> list[str]:
    """Name the columns of `pool` by row, column and channel of the grid."""
    rows, columns, channels = grid_shape(space)
    return [f"{prefix}[{r},{c},{k}]" for r in range(rows) for c in range(columns) for k in range(channels)]


class ImageColumns(NamedTuple):
    """Where among the features one image is found."""

    starts: tuple[int, ...]
    """First columns of its grids: the observation's, its change's, whichever are shown."""
    shape: tuple[int, int, int]
    """Rows, columns and channels of each grid."""

    def indices(self) -> NDArray[np.int64]:
        """Columns of its grids, one grid after the other, `[len(starts) * rows * columns * channels]`."""
        return np.concatenate([start + np.arange(np.prod(self.shape)) for start in self.starts])
