"""How sure the credit of a step is, and how much of it is handed out by that."""

from __future__ import annotations

from torch import Tensor

CALIBRATION = 1.3
"""How much farther than the members from each other their mean lies from the truth: they share their lessons, and what
lessons have misled one have misled all. Measured on key-to-door, see `docs/credit.md`."""


def spread(of_members: Tensor) -> Tensor:
    """Standard deviation of one value among members, `[..., K]` to `[...]`; zero for a single one."""
    if of_members.shape[-1] == 1:
        return of_members.new_zeros(of_members.shape[:-1])
    return of_members.std(dim=-1)


def shrunk(credit: Tensor, deviation: Tensor) -> Tensor:
    """What of a credit is handed out, given how far the members lie apart; both `[...]`.

    `c * max(0, 1 - s^2 / c^2)`, as James and Stein (1961) shrink what is measured with a known variance: what the
    members do not agree on is withheld.
    """
    kept = 1.0 - (deviation / credit.abs().clamp_min(1e-300)).square()
    return credit * kept.clamp_min(0.0)
