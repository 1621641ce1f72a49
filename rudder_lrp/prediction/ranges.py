"""Numbers of a config within their ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any


def check_numbers(config: object, whole: Sequence[str] = (), real: Sequence[str] = (), least: float = 0) -> None:
    """Refuse fields that are no numbers, or out of range: what they say could not be done, or would do nothing.

    Raises:
        ValueError: naming the first one.
    """
    type_of: dict[str, type[Any]] = dict.fromkeys(whole, Integral) | dict.fromkeys(real, Real)
    for name, kind in type_of.items():
        value = getattr(config, name)
        if not isinstance(value, kind) or not least <= value < math.inf:
            what = "a whole number" if kind is Integral else "a finite number"
            raise ValueError(f"{name} must be {what} of at least {least:g}, got {value!r}")
