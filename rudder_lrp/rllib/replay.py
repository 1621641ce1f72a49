"""Replay buffers of RLlib that know whole episodes and keep their redistributed rewards up to date.

An episode enters with the environment's own rewards, fragment by fragment. Once it is over it is redistributed, and
again whenever the predictor has changed: a bounded number of steps each time something is sampled, so that an episode
is always wholly old or wholly new, and its rewards sum to its true return.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils import force_list
from ray.rllib.utils.replay_buffers.episode_replay_buffer import EpisodeReplayBuffer
from ray.rllib.utils.replay_buffers.prioritized_episode_buffer import PrioritizedEpisodeReplayBuffer

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.rllib.client import PredictorClient
from rudder_lrp.rllib.connector import with_rewards
from rudder_lrp.rllib.sampling import running_episodes
from rudder_lrp.rllib.settings import Spaces

_STEPS_AT_ONCE = 4096  # are redistributed when something is sampled: some ten milliseconds


@dataclass
class _Stored:
    lesson: Lesson
    version: object


class _Redistributing(EpisodeReplayBuffer):
    """Mixed with a replay buffer of episodes, keeps their rewards up to date.

    Args:
        config: of the algorithm.
        spaces: of observations, as episodes hold them, and of actions.
        options: of RLlib's buffer.
    """

    def __init__(self, config: Any, spaces: Spaces, **options: Any) -> None:
        super().__init__(**options)
        self._client = PredictorClient(config.credit, spaces)
        self._redistributor = config.credit.redistributor(self._client.predictor)
        self._running = running_episodes(config, self._client)
        self._stored: dict[str, _Stored] = {}

    def add(self, episodes: list[SingleAgentEpisode] | SingleAgentEpisode, *arguments: Any, **options: Any) -> None:
        """Store fragments; finished episodes are lessons."""
        fragments = force_list(episodes)
        super().add(fragments, *arguments, **options)
        finished = [(fragment.id_, self._running.extend(fragment)) for fragment in fragments]
        lessons = {
            identity: running.lesson()
            for (identity, running), fragment in zip(finished, fragments, strict=True)
            if fragment.is_done and running.open and running.steps <= self._running.max_episode_steps
        }
        self._stored |= {identity: _Stored(lesson, None) for identity, lesson in lessons.items()}
        self._forget()
        self._relabel(list(lessons))
        self._client.receive()
        self._client.send(lessons.values(), sum(map(len, fragments)))

    def _forget(self) -> None:
        """What the buffer has dropped, and what runs on an EnvRunner that is no more."""
        self._running.keep(set(self.episode_id_to_index))
        self._stored = {name: stored for name, stored in self._stored.items() if name in self.episode_id_to_index}

    def sample(self, *arguments: Any, **options: Any) -> Any:
        """As RLlib has it, after some of what is out of date was redistributed anew."""
        stale, steps = [], 0
        for identity, stored in self._stored.items():
            if steps >= _STEPS_AT_ONCE:
                break
            if stored.version != self._client.version:
                stale.append(identity)
                steps += len(stored.lesson)
        self._relabel(stale)
        return super().sample(*arguments, **options)

    def _relabel(self, identities: list[str]) -> None:
        known = [identity for identity in identities if identity in self._stored]
        lessons = [self._stored[name].lesson for name in known]
        for identity, rewards in zip(known, self._redistributor.trusted(lessons, self._client.trust), strict=True):
            episode = self.episodes[self.episode_id_to_index[identity] - self._num_episodes_evicted]
            # Its beginning may have been dropped before its end came in.
            episode.rewards = with_rewards(episode, rewards[episode.t_started :])
            self._stored[identity].version = self._client.version


class RedistributedEpisodeReplayBuffer(_Redistributing):
    """RLlib's `EpisodeReplayBuffer` with redistributed rewards."""


class RedistributedPrioritizedEpisodeReplayBuffer(_Redistributing, PrioritizedEpisodeReplayBuffer):
    """RLlib's `PrioritizedEpisodeReplayBuffer` with redistributed rewards."""


REDISTRIBUTED: dict[str, type[_Redistributing]] = {
    "EpisodeReplayBuffer": RedistributedEpisodeReplayBuffer,
    "PrioritizedEpisodeReplayBuffer": RedistributedPrioritizedEpisodeReplayBuffer,
}


def redistributed_buffer(config: Any, spaces: Spaces) -> _Redistributing:
    """The replay buffer of a config, with redistributed rewards."""
    options = dict(config.replay_buffer_config)
    return REDISTRIBUTED[options.pop("type")](config, spaces, **options)
