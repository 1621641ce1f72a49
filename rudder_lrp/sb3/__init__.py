"""Stable-Baselines3 through its own doors: environment wrapper, buffers, callback, checkpoints."""

from rudder_lrp.sb3.callbacks import (
    CreditCheckpoints,
    CreditScalars,
    LessonRecording,
    RedistributionCallback,
    TimelinePictures,
)
from rudder_lrp.sb3.episodic import EpisodicCredit
from rudder_lrp.sb3.replay_buffers import (
    RedistributedDictReplayBuffer,
    RedistributedNStepReplayBuffer,
    RedistributedReplayBuffer,
)
from rudder_lrp.sb3.replayed_episodes import replayed_episodes
from rudder_lrp.sb3.resume import resume, save_checkpoint
from rudder_lrp.sb3.rollout_buffers import RedistributedDictRolloutBuffer, RedistributedRolloutBuffer
from rudder_lrp.sb3.vec_env import RedistributedRewardVecEnv

__all__ = [
    "CreditCheckpoints",
    "CreditScalars",
    "EpisodicCredit",
    "LessonRecording",
    "RedistributedDictReplayBuffer",
    "RedistributedDictRolloutBuffer",
    "RedistributedNStepReplayBuffer",
    "RedistributedReplayBuffer",
    "RedistributedRewardVecEnv",
    "RedistributedRolloutBuffer",
    "RedistributionCallback",
    "TimelinePictures",
    "replayed_episodes",
    "resume",
    "save_checkpoint",
]
