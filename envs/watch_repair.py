"""Is a broken watch worth repairing? The answer comes with its sale."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

REPAIR_COST, REPAIR_COST_SD = np.array([1.0, 4.0, 5.0, 24.5]), np.array([2.0, 2.0, 2.0, 1.0])
PRICE = np.array([18.0, 28.0, 31.0, 59.0])
DELIVERY_COST, DELIVERY_COST_SD = np.array([0.5, 2.5, 4.5, 18.0]), 1.5
JAM_PROBABILITY, JAM_COST = 0.1, 0.1
FLAT_PROBABILITY, FLAT_COST = 0.05, 7.0
BRANDS, STEPS = 4, 50
REPAIR, DECLINE = 0, 1

MEAN_PROFIT = PRICE - REPAIR_COST - DELIVERY_COST - STEPS * (JAM_PROBABILITY * JAM_COST + FLAT_PROBABILITY * FLAT_COST)
"""Expected return of repairing each brand, `[4]`; of declining, 0."""


class WatchRepair(gym.Env[NDArray[np.float32], int]):
    """The watch of the public RUDDER demonstration (Arjona-Medina et al. 2019).

    Rules: a watch of one of four brands, each as likely, may be repaired at step 0 (action 0) or declined (action 1);
    later actions do nothing. A repaired one is then delivered; each of the 50 steps brings a jam with probability 0.1
    and a flat tyre with 0.05, repaired or not.

    Observation: `Box(0, 50, (8,))`: repaired, jams so far, flat tyres so far, brand as one-hot (4), step.
    Action: `Discrete(2)`.
    Reward: the cost of the repair, normal with mean 1, 4, 5, 24.5 and deviation 2, 2, 2, 1 by brand, at step 0; at
    the last step the price, 18, 28, 31, 59, less the delivery, normal with mean 0.5, 2.5, 4.5, 18 and deviation 1.5,
    less 0.1 a jam and 7 a flat tyre. Nothing for a declined watch.
    Delay: 49 steps.
    Optimal return: 1.75 on average, from repairing brands 1 and 2 (expected profit 3.5 each) and no other.
    Decisive steps: step 0.
    Info: `decisive`; `expected_return`, that of the episode given its steps so far.
    """

    optimal_return = float(MEAN_PROFIT.clip(min=0.0).mean())

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, float(STEPS), (4 + BRANDS,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Receive the next watch."""
        super().reset(seed=seed)
        self._brand = int(self.np_random.integers(BRANDS))
        self._repaired, self._jams, self._flats, self._step, self._paid = False, 0, 0, 0, 0.0
        return self._observation(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Repair (0) or decline (1) at step 0, and drive on."""
        reward, decisive = 0.0, self._step == 0
        if decisive and action == REPAIR:
            self._repaired = True
            reward -= self.np_random.normal(REPAIR_COST[self._brand], REPAIR_COST_SD[self._brand])
        self._jams += int(self.np_random.random() < JAM_PROBABILITY)
        self._flats += int(self.np_random.random() < FLAT_PROBABILITY)
        self._step += 1
        over = self._step == STEPS
        if over and self._repaired:
            reward += self._sale()
        self._paid += float(reward)
        observation = self._observation()
        to_come = 0.0 if over else float(expected_sale(observation))
        info = {"decisive": decisive, "expected_return": self._paid + to_come}
        return observation, float(reward), over, False, info

    def _sale(self) -> float:
        delivery = self.np_random.normal(DELIVERY_COST[self._brand], DELIVERY_COST_SD)
        return float(PRICE[self._brand] - delivery - JAM_COST * self._jams - FLAT_COST * self._flats)

    def _observation(self) -> NDArray[np.float32]:
        observation = np.zeros(4 + BRANDS, dtype=np.float32)
        observation[:3] = self._repaired, self._jams, self._flats
        observation[3 + self._brand] = 1.0
        observation[-1] = self._step
        return observation


def expected_sale(observations: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the last step is expected to pay, given observations `[..., 8]` after the decision; `[...]`."""
    repaired, jams, flats, *brand, step = np.moveaxis(observations.astype(np.float64), -1, 0)
    left = STEPS - step
    price = np.tensordot(PRICE - DELIVERY_COST, np.stack(brand), axes=1)
    sale: NDArray[np.float64] = (
        price - JAM_COST * (jams + left * JAM_PROBABILITY) - FLAT_COST * (flats + left * FLAT_PROBABILITY)
    )
    return repaired * sale


def simulate(brand: int, repair: bool, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A whole episode at once, by the rules of `WatchRepair`; for tabular agents, which need a great many.

    Returns:
        Observations `[STEPS + 1, 8]` and rewards `[STEPS]`.
    """
    observations = np.zeros((STEPS + 1, 4 + BRANDS), dtype=np.float32)
    observations[1:, 0] = repair
    observations[1:, 1] = np.cumsum(rng.random(STEPS) < JAM_PROBABILITY)
    observations[1:, 2] = np.cumsum(rng.random(STEPS) < FLAT_PROBABILITY)
    observations[:, 3 + brand] = 1.0
    observations[:, -1] = np.arange(STEPS + 1)
    rewards = np.zeros(STEPS)
    if repair:
        _, jams, flats = observations[-1, :3]
        rewards[0] = -rng.normal(REPAIR_COST[brand], REPAIR_COST_SD[brand])
        delivery = rng.normal(DELIVERY_COST[brand], DELIVERY_COST_SD)
        rewards[-1] += PRICE[brand] - delivery - JAM_COST * jams - FLAT_COST * flats
    return observations, rewards
