"""What a discount does to moved rewards, and how to keep an agent's discounted return.

Arjona-Medina et al. 2019 move rewards under gamma = 1. An agent with gamma < 1 gives a reward moved from the last step
T to step t the weight gamma^t in place of gamma^T: it sees gamma^-(T-t) as much of it.
"""

from __future__ import annotations

import numpy as np

from rudder_lrp.episodes.episode import Array
from rudder_lrp.redistribution.base import Rewards


def check_discount(gamma: float) -> float:
    """Refuse what is no discount.

    Raises:
        ValueError: if `gamma` is not within (0, 1].
    """
    if not 0.0 < gamma <= 1.0:
        raise ValueError(f"gamma must be within (0, 1], got {gamma}")
    return gamma


def discounted_return(rewards: Array, gamma: float) -> float:
    """`sum_t gamma^t r_t` of rewards `[T]`."""
    return float((gamma ** np.arange(len(rewards)) * rewards).sum())


def keep_discounted_return(redistributed: Array, original: Array, gamma: float) -> Rewards:
    """Shrink what was moved so that the episode's discounted return is that of the original rewards.

    What a step was paid stays with it. What it was given beside that, or was denied, is moved from or to the last step,
    where rewards that come late are paid: it is multiplied by `gamma^(T-1-t)`, the discount that the move has saved it.
    As all that is moved sums to zero, so do its discounted values, at `gamma^(T-1)` each.

    Args:
        redistributed: `[T]`, of the same sum as the original ones.
        original: the environment's own, `[T]`.
        gamma: discount of the agent, within (0, 1].

    Returns:
        Rewards `[T]`.
    """
    moved: Rewards = redistributed - original
    return original + moved * gamma ** np.arange(len(original) - 1, -1, -1)
