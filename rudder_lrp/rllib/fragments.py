"""Episodes as RLlib samples them, often in several fragments: as transitions, and put together as lessons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.spaces.space_utils import clip_action, get_base_struct_from_space, unsquash_action

from rudder_lrp.episodes.episode import Array, Observations, Transitions, check_finite, map_arrays
from rudder_lrp.episodes.features import Features, TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson


def actions_taken(actions: Observations, space: spaces.Space[Any], *, normalize: bool, clip: bool) -> Observations:
    """Actions `[T, ...]` as the environment saw them; episodes hold them as the policy drew them.

    Args:
        actions: of an episode.
        space: of the environment.
        normalize: `AlgorithmConfig.normalize_actions`.
        clip: `AlgorithmConfig.clip_actions`.
    """
    structure = get_base_struct_from_space(space)
    if normalize:
        return unsquash_action(actions, structure)
    return clip_action(actions, structure) if clip else actions


def transitions(fragment: SingleAgentEpisode, actions: Observations) -> Transitions:
    """The T steps of a fragment, with these actions `[T, ...]`."""
    observations, rewards = fragment.get_observations(), np.asarray(fragment.get_rewards(), dtype=np.float64)
    check_finite(rewards, f"the fragment of episode {fragment.id_} from its step {fragment.t_started}")
    steps = np.arange(len(rewards))
    before = map_arrays(lambda rows: rows[:-1], observations)
    after = map_arrays(lambda rows: rows[1:], observations)
    last = fragment.is_done & (steps == len(rewards) - 1)
    return Transitions(before, actions, rewards, after, steps + fragment.t_started == 0, last)


@dataclass
class RunningEpisode:
    """What there is of an episode so far."""

    features: list[Features] = field(default_factory=list)
    """Of each fragment, `[T, F]`."""
    rewards: list[Array] = field(default_factory=list)
    """Of each fragment, `[T]`."""
    steps: int = 0
    owed: float = 0.0
    """What was paid and not yet handed on."""
    open: bool = True
    """Whether it may become a lesson."""

    def lesson(self) -> Lesson:
        """All of it, as if it had ended."""
        if len(self.features) > 1:
            self.features, self.rewards = [np.concatenate(self.features)], [np.concatenate(self.rewards)]
        return Lesson(self.features[0], self.rewards[0])


class RunningEpisodes:
    """Puts fragments together by the identity of their episode.

    An episode that was not seen from its first step on, or grows longer than allowed, is closed: it is no lesson.

    Args:
        features: how transitions are encoded.
        max_episode_steps: an episode longer than this is no lesson.
        normalize: `AlgorithmConfig.normalize_actions`.
        clip: `AlgorithmConfig.clip_actions`.
    """

    def __init__(self, features: TransitionFeatures, max_episode_steps: int, *, normalize: bool, clip: bool) -> None:
        self.features = features
        self.max_episode_steps = max_episode_steps
        self._normalize, self._clip = normalize, clip
        self._running: dict[str, RunningEpisode] = {}

    def __len__(self) -> int:
        return len(self._running)

    def extend(self, fragment: SingleAgentEpisode) -> RunningEpisode:
        """The episode that a fragment belongs to, with the fragment; forgotten here if it is over.

        Raises:
            ValueError: if a reward or a feature is not finite.
        """
        running = self._running.setdefault(fragment.id_, RunningEpisode())
        if running.steps != fragment.t_started:
            running.open = False
        running.steps = fragment.t_started + len(fragment)
        if running.open:
            space = self.features.action_space
            actions = actions_taken(fragment.get_actions(), space, normalize=self._normalize, clip=self._clip)
            steps = transitions(fragment, actions)
            running.features.append(self.features.encode(steps))
            running.rewards.append(steps.rewards)
        if fragment.is_done:
            del self._running[fragment.id_]
        return running

    def keep(self, identities: set[str]) -> None:
        """Forget all running episodes but these."""
        self._running = {name: episode for name, episode in self._running.items() if name in identities}
