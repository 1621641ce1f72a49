"""How sure the credit of a step is, and how much of it is handed out by that."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Values = TypeVar("Values", Tensor, NDArray[np.float64])


def spread(of_members: Values) -> Values:
    """Standard deviation of one value among members, `[..., K]` to `[...]`; zero for a single one."""
    apart = of_members - of_members.mean(-1)[..., None]
    deviation: Values = ((apart * apart).sum(-1) / max(of_members.shape[-1] - 1, 1)) ** 0.5
    return deviation


def shrunk(credit: Values, deviation: Values) -> Values:
    """What of a credit is handed out, given how far the members lie apart; both `[...]`.

    `c * max(0, 1 - s^2 / c^2)`, as James and Stein (1961) shrink what is measured with a known variance: what the
    members do not agree on is withheld.
    """
    size = abs(credit)
    handed_out: Values = credit * (1.0 - (deviation.clip(max=size) / size.clip(1e-300)) ** 2)
    return handed_out
