"""Algorithms of Stable-Baselines3 and sb3-contrib by name: their defaults here, their policies, their buffers."""

from __future__ import annotations

import importlib
from typing import Any

import stable_baselines3
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import is_image_space

from rudder_lrp.sb3 import (
    EpisodicCredit,
    RedistributedDictReplayBuffer,
    RedistributedDictRolloutBuffer,
    RedistributedNStepReplayBuffer,
    RedistributedReplayBuffer,
    RedistributedRolloutBuffer,
)

OWN = ("A2C", "DDPG", "DQN", "PPO", "SAC", "TD3")
"""Of Stable-Baselines3."""
CONTRIB = ("CrossQ", "MaskablePPO", "QRDQN", "RecurrentPPO", "TQC", "TRPO")
"""Of sb3-contrib."""

_OFF_POLICY = ("DDPG", "DQN", "SAC", "TD3", "CrossQ", "QRDQN", "TQC")

# The RL Zoo's learning rate for Pendulum, and networks that are large enough for the dense reward of small tasks.
_SMALL: dict[str, Any] = {"learning_rate": 1e-3, "learning_starts": 1000, "policy_kwargs": {"net_arch": [64, 64]}}
_PPO: dict[str, Any] = {"n_steps": 256, "batch_size": 256, "ent_coef": 0.01}

HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "PPO": _PPO,
    "SAC": _SMALL,
    "TD3": _SMALL,
    # Cells as many as PPO's own layers have units.
    "RecurrentPPO": _PPO | {"policy_kwargs": {"lstm_hidden_size": 64}},
}
"""Where they are not the library's; chosen on agents without credit, and the same for every credit."""


def learns_from_replay(name: str) -> bool:
    """Whether an algorithm learns from each reward many times."""
    return name in _OFF_POLICY


def find_algorithm(name: str) -> type[BaseAlgorithm]:
    """The class of an algorithm.

    Raises:
        ValueError: if there is none of that name.
        ImportError: naming the extra, if sb3-contrib is needed and not installed.
    """
    if name in OWN:
        module = stable_baselines3
    elif name in CONTRIB:
        try:
            module = importlib.import_module("sb3_contrib")
        except ImportError as error:
            raise ImportError(f'{name} is part of sb3-contrib: pip install "rudder-lrp[contrib]"') from error
    else:
        raise ValueError(f"unknown algorithm {name!r}; choose one of {', '.join((*OWN, *CONTRIB))}")
    found: type[BaseAlgorithm] = getattr(module, name)
    return found


_SMALLEST_IMAGE = 36  # pixels a side, below which nothing is left after the network's three convolutions


def policy_for(name: str, observation_space: spaces.Space[Any]) -> str:
    """The policy that takes observations of a space; an image too small for the convolutions is flattened."""
    kind = "Mlp"
    if isinstance(observation_space, spaces.Dict):
        kind = "MultiInput"
    elif is_image_space(observation_space) and min(sorted(observation_space.shape or ())[-2:]) >= _SMALLEST_IMAGE:
        kind = "Cnn"
    return f"{kind}{'Lstm' if name == 'RecurrentPPO' else ''}Policy"


def episodic_buffer(name: str, space: spaces.Space[Any], credit: EpisodicCredit, arguments: dict[str, Any]) -> None:
    """Add to an algorithm's arguments the buffer that redistributes whole episodes; RecurrentPPO takes none."""
    dictionaries = isinstance(space, spaces.Dict)
    if learns_from_replay(name):
        buffer: type = RedistributedDictReplayBuffer if dictionaries else RedistributedReplayBuffer
        if arguments.get("n_steps", 1) > 1 and not dictionaries:
            buffer = RedistributedNStepReplayBuffer
        arguments |= {"replay_buffer_class": buffer, "replay_buffer_kwargs": {"credit": credit}}
    elif name != "RecurrentPPO":
        buffer = RedistributedDictRolloutBuffer if dictionaries else RedistributedRolloutBuffer
        if name == "MaskablePPO":
            contrib = importlib.import_module("rudder_lrp.sb3.contrib")
            buffer = getattr(contrib, f"RedistributedMaskable{'Dict' if dictionaries else ''}RolloutBuffer")
        arguments |= {"rollout_buffer_class": buffer, "rollout_buffer_kwargs": {"credit": credit}}


def replays(model: BaseAlgorithm) -> bool:
    """Whether a model has a replay buffer."""
    return isinstance(model, OffPolicyAlgorithm)
