"""Stable-Baselines3 through its own doors: environment wrapper, rollout buffer, callback."""

from rudder_lrp.sb3.buffers import EpisodicCredit, RedistributedRolloutBuffer
from rudder_lrp.sb3.callbacks import RedistributionCallback
from rudder_lrp.sb3.vec_env import RedistributedRewardVecEnv

__all__ = [
    "EpisodicCredit",
    "RedistributedRewardVecEnv",
    "RedistributedRolloutBuffer",
    "RedistributionCallback",
]
