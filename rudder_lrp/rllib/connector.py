"""The learner's connector: redistributed rewards in place of the environment's, before advantages are computed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

from rudder_lrp.redistribution.base import Rewards

CREDIT = "credit"
"""Name among an episode's `extra_model_outputs`: they stay with their steps wherever RLlib cuts an episode."""


def with_rewards(episode: SingleAgentEpisode, rewards: Rewards) -> InfiniteLookbackBuffer:
    """An episode's rewards with others `[T]` in their place; what lies before its first step stays."""
    before = np.asarray(episode.rewards.data[: episode.rewards.lookback], dtype=np.float32)
    data = np.concatenate([before, rewards.astype(np.float32)])
    return InfiniteLookbackBuffer(data, lookback=len(before), space=episode.rewards.space)


def put_credit(fragment: SingleAgentEpisode, handed: Rewards) -> None:
    """Lay what each step of a fragment earns, `[T]`, beside its own rewards.

    Each row holds the number of its step, too: RLlib repeats the last row for a step that never was, from which it
    bootstraps, and the number tells that from a real one.
    """
    rows = np.stack([handed, fragment.t_started + np.arange(len(handed))], axis=1)
    before = np.zeros((fragment.rewards.lookback, 2))
    fragment.extra_model_outputs[CREDIT] = InfiniteLookbackBuffer(np.concatenate([before, rows]), lookback=len(before))


def redistributed(fragment: SingleAgentEpisode) -> SingleAgentEpisode:
    """A copy of a fragment whose rewards are what was laid beside them; the original keeps its own.

    Raises:
        ValueError: if nothing was laid beside them.
    """
    if CREDIT not in fragment.extra_model_outputs:
        raise ValueError(
            "an episode without credit reached the learner: its EnvRunner does not call back; let with_credit be the "
            "last to change the config, after config.callbacks(...)"
        )
    handed, number = np.asarray(fragment.get_extra_model_outputs(CREDIT)).T
    real = np.diff(number, prepend=-1.0) != 0.0
    changed = copy.copy(fragment)
    changed.rewards = with_rewards(fragment, np.where(real, handed, fragment.get_rewards()))
    changed.extra_model_outputs = fragment.extra_model_outputs.copy()
    del changed.extra_model_outputs[CREDIT]
    return changed


class RedistributedRewards(ConnectorV2):
    """Gives the pieces of the learner's pipeline that follow it episodes with redistributed rewards."""

    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: list[SingleAgentEpisode], **_: Any
    ) -> dict[str, Any]:
        """Exchange the episodes in their list: an EnvRunner in the same process still counts the original ones."""
        episodes[:] = [redistributed(episode) for episode in episodes]
        return batch


class LearnerConnectors:
    """Builds the learner's pipeline of a config: redistributed rewards, then what the config had already.

    Args:
        others: as `AlgorithmConfig.learners(learner_connector=...)` takes it.
    """

    def __init__(self, others: Callable[..., ConnectorV2 | Sequence[ConnectorV2]] | None = None) -> None:
        self._others = others

    def __call__(self, observation_space: Any, action_space: Any) -> list[ConnectorV2]:
        """Pieces for these spaces, in their order."""
        found = [] if self._others is None else self._others(observation_space, action_space)
        others = [found] if isinstance(found, ConnectorV2) else list(found)
        return [RedistributedRewards(observation_space, action_space), *others]
