"""Environments that pay late: one a file, each knows its optimal return and which steps deserve credit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from envs.bomb import Bomb
from envs.charge_discharge import ChargeDischarge
from envs.choice import Choice
from envs.coin import Coin
from envs.credit import OptimalReward, optimal_redistribution
from envs.finite import FiniteEnv
from envs.harvest import Harvest
from envs.key_to_door import KeyToDoor
from envs.rooms import Rooms
from envs.t_maze import TMaze
from envs.trace_back import TraceBack
from envs.umbrella import Umbrella
from envs.ventures import Ventures
from envs.watch_repair import WatchRepair
from rudder_lrp.episodes.delayed_reward import DelayedReward

__all__ = [
    "IDS",
    "NAMESPACE",
    "Bomb",
    "ChargeDischarge",
    "Choice",
    "Coin",
    "DelayedReward",
    "FiniteEnv",
    "Harvest",
    "KeyToDoor",
    "OptimalReward",
    "Rooms",
    "TMaze",
    "TraceBack",
    "Umbrella",
    "Ventures",
    "WatchRepair",
    "optimal_redistribution",
    "reference_return",
]

NAMESPACE = "rudder_lrp"

_PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "Coin": ("envs.coin:Coin", {}),
    "KeyToDoor": ("envs.key_to_door:KeyToDoor", {}),
    "WatchRepair": ("envs.watch_repair:WatchRepair", {}),
    "Harvest": ("envs.harvest:Harvest", {}),
    "Ventures": ("envs.ventures:Ventures", {}),
    "FourRooms": ("envs.rooms:Rooms", {"rooms": 4}),
    "EightRooms": ("envs.rooms:Rooms", {"rooms": 8}),
    **{f"Bomb{delay}": ("envs.bomb:Bomb", {"delay": delay}) for delay in (6, 10, 15)},
    **{f"Choice{delay}": ("envs.choice:Choice", {"delay": delay}) for delay in (40, 100, 500)},
    **{f"ChargeDischarge{n}": ("envs.charge_discharge:ChargeDischarge", {"steps": n}) for n in (10, 20, 50)},
    **{f"TraceBack{delay}": ("envs.trace_back:TraceBack", {"delay": delay}) for delay in (10, 15, 25)},
    **{f"TMaze{length}": ("envs.t_maze:TMaze", {"length": length}) for length in (10, 50)},
    **{f"Umbrella{length}": ("envs.umbrella:Umbrella", {"length": length}) for length in (20, 100)},
}

IDS = {f"{NAMESPACE}/{name}-v0": preset for name, preset in _PRESETS.items()}
"""Entry points and their arguments by Gymnasium id; a number in the name is the delay, in steps."""

for _id, (_entry_point, _arguments) in IDS.items():
    if _id not in gym.registry:
        gym.register(_id, _entry_point, kwargs=_arguments)


def reference_return(env_id: str) -> float | None:
    """The optimal mean return of one of our environments; the solved threshold of Gymnasium's own, if it has one."""
    env = gym.make(env_id)
    optimal = getattr(env.unwrapped, "optimal_return", None)
    threshold = env.spec.reward_threshold if env.spec is not None else None
    env.close()
    return optimal if optimal is not None else threshold
