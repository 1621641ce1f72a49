"""Take the umbrella or leave it; whether that was right shows at the end."""

from __future__ import annotations

import numpy as np

from envs.finite import Earnings, FiniteEnv, FiniteModel

PAY, DISTRACTION = 1.0, 1.0


def umbrella_model(length: int) -> FiniteModel:
    """Rules of `Umbrella`; state = 3 * needed + (left, taken, undecided)."""
    needed, has = np.divmod(np.arange(6), 3)
    decides = has == 2
    right = np.where(needed[:, None] == np.arange(2), PAY, -PAY)
    return FiniteModel(
        steps=length,
        starts=decides / 2.0,
        next_state=3 * needed[:, None] + np.where(decides[:, None], np.arange(2), has[:, None]),
        now=Earnings(np.zeros((1, 1, 1)), np.where(np.arange(length) < length - 1, DISTRACTION, 0.0)[:, None, None]),
        late=Earnings((decides[:, None] * right)[None]),
        view=np.column_stack([needed, has == 1]).astype(np.float32),
        decisive=(np.arange(length) == 0)[:, None, None],
    )


class Umbrella(FiniteEnv):
    """The umbrella chain of bsuite (Osband et al. 2020).

    Rules: the forecast, rain or sun, each as likely, is seen from the start. At step 0 the agent leaves (0) or takes
    (1) the umbrella; later actions do nothing.

    Observation: `Box(0, 1, (3 + distractors,))`: rain; umbrella taken; random bits; share of the episode over.
    Action: `Discrete(2)`.
    Reward: each step but the last pays +1 or -1, by a coin; the last +1 if the umbrella fits the forecast, else -1.
    Delay: `length` - 1 steps.
    Optimal return: 1 on average.
    Decisive steps: step 0.

    Args:
        length: steps of an episode, at least 2.
        distractors: number of random bits in the observation.
    """

    def __init__(self, length: int = 20, distractors: int = 20) -> None:
        if length < 2 or distractors < 0:
            raise ValueError(f"the chain needs length >= 2 and distractors >= 0, got {length} and {distractors}")
        super().__init__(umbrella_model(length), distractors)
