"""Charge first, discharge then: the better reward is booked, and shown at the end."""

from __future__ import annotations

import numpy as np

from envs.finite import Earnings, FiniteEnv, FiniteModel

IDLE_PAY, CHARGED_PAY = 1.0, 10.0


def charge_discharge_model(steps: int) -> FiniteModel:
    """Rules of `ChargeDischarge`; states: discharged, charged; actions: discharge, charge."""
    late = np.array([[[0.0, 0.0], [CHARGED_PAY, 0.0]]])
    return FiniteModel(
        steps=steps,
        starts=np.array([1.0, 0.0]),
        next_state=np.array([[0, 1], [0, 1]]),
        now=Earnings(np.array([[[IDLE_PAY, 0.0], [0.0, 0.0]]])),
        late=Earnings(late),
        view=np.array([[0.0], [1.0]], dtype=np.float32),
        decisive=late > 0,
    )


class ChargeDischarge(FiniteEnv):
    """Charge-Discharge, after Arjona-Medina et al. 2019 (RUDDER, artificial task III).

    Rules: the state is discharged, at the start, or charged; an action leads to the state of its name.

    Observation: `Box(0, 1, (2,))`: charged; share of the episode over.
    Action: `Discrete(2)`: 0 discharge, 1 charge.
    Reward: to discharge when charged earns 10, all of which is paid at the last step; when discharged it pays 1 at
    once.
    Delay: up to `steps` - 1.
    Optimal return: 10 * (`steps` // 2), one more if `steps` is odd, by charging and discharging in turn.
    Decisive steps: those that discharge the charged.

    Args:
        steps: length of an episode, at least 2.
    """

    def __init__(self, steps: int = 20) -> None:
        if steps < 2:
            raise ValueError(f"to charge and to discharge takes at least 2 steps, got {steps}")
        super().__init__(charge_discharge_model(steps))
