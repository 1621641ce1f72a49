"""What the file of a return predictor has to say, and what it may not: nothing in it is believed unseen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gymnasium import spaces
from torch import Tensor

from rudder_lrp.prediction.clock import MOST_FREQUENCIES
from rudder_lrp.storage import DamagedFileError, check_count

KIND = "return predictor 5"
"""Name and version of the format."""

_LARGEST_WEIGHT, _LARGEST_SCALE = 1e6, 1e37  # what is larger was not learnt, and overflows in float32
_LARGEST_RETURN = 1e25


class Shape(NamedTuple):
    """What a header says of the size of a predictor."""

    cells: int
    members: int
    clock: int


def check_made_for(
    path: str | Path,
    header: Mapping[str, Any],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> None:
    """Refuse the predictor of other spaces.

    Raises:
        ValueError: naming the space that differs.
    """
    for name, space in (("observation_space", observation_space), ("action_space", action_space)):
        if header.get(name) != repr(space):
            raise ValueError(
                f"the predictor at {path} was made for {name} {header.get(name)}, not for {space!r}; "
                "load it with the environment it was trained on, or train a new one"
            )


def shape_of(path: str | Path, header: dict[str, Any], tensors: Mapping[str, Tensor]) -> Shape:
    """The size that a header tells.

    Raises:
        DamagedFileError: if it cannot be, or the readout has another.
    """
    cells = check_count(path, header, "hidden_size", least=1)
    if "readout.weight" not in tensors or tensors["readout.weight"].shape != (1, cells):
        raise DamagedFileError(f"{path} has no readout of the {cells} cells it names; restore it or train anew")
    members = check_count(path, header, "members", least=1)
    return Shape(cells, members, check_count(path, header, "clock", most=MOST_FREQUENCIES))


def check_values(path: str | Path, tensors: Mapping[str, Tensor], *, heads: int, weights: Collection[str]) -> None:
    """Refuse numbers that no training can have come to.

    Args:
        path: of the file.
        tensors: all that a predictor has, in the right shapes.
        heads: how many heads there are to be read.
        weights: names of those that are trained.

    Raises:
        DamagedFileError: naming what cannot be.
    """
    if (
        not 0.0 <= tensors["return_scale"] <= _LARGEST_RETURN
        or abs(tensors["return_mean"]) > _LARGEST_RETURN
        or min(tensors["normalizer.variance"].min(), tensors["normalizer.count"], tensors["calibration"]) < 0
    ):
        raise DamagedFileError(f"{path}: a scale is not positive; restore it or train anew")
    if not 0 <= tensors["reading"] < heads:
        raise DamagedFileError(f"{path}: 'reading' names no head; restore it or train anew")
    for name, value in tensors.items():
        if float(value.double().abs().max()) > (_LARGEST_WEIGHT if name in weights else _LARGEST_SCALE):
            raise DamagedFileError(f"{path}: {name!r} is beyond what predictions can be made of; restore it")
