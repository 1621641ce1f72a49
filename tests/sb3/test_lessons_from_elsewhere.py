from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.env_util import make_vec_env

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.offline import minari_episodes
from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.sb3 import EpisodicCredit, RedistributedReplayBuffer, RedistributedRewardVecEnv, replayed_episodes
from tests.conftest import RandomLengths
from tests.sb3.play import NEVER, trusted, vec_env


def small() -> dict[str, Any]:
    return {"learning_starts": NEVER, "device": "cpu", "seed": 0, "policy_kwargs": {"net_arch": [8]}}


def assert_same(one: Episode, two: Episode) -> None:
    np.testing.assert_array_equal(one.observations, two.observations)
    np.testing.assert_allclose(one.actions, two.actions, atol=1e-6)
    np.testing.assert_allclose(one.rewards, two.rewards, atol=1e-6)
    assert one.truncated == two.truncated


class Recording(gym.Wrapper):
    """Remembers its own episodes."""

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        self.rows, self.observations = [], [observation]
        return observation, info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.rows.append((action, reward))
        self.observations.append(observation)
        if terminated or truncated:
            actions, rewards = zip(*self.rows, strict=True)
            episode = Episode(np.stack(self.observations), np.stack(actions), np.array(rewards), truncated)
            self.get_wrapper_attr("recorded").append(episode)
        return observation, reward, terminated, truncated, info


def recording(env: gym.Env) -> Recording:
    wrapped = Recording(env)
    wrapped.recorded = []
    return wrapped


@pytest.mark.parametrize("buffer_size", [1000, 60])
def test_a_replay_buffer_gives_back_the_episodes_that_lie_wholly_in_it(buffer_size) -> None:
    env = make_vec_env(lambda: recording(RandomLengths()), n_envs=2, seed=0)
    buffer = DQN("MlpPolicy", env, buffer_size=buffer_size, **small()).learn(200).replay_buffer
    played = [wrapper.env.recorded for wrapper in env.envs]
    found = list(replayed_episodes(buffer))
    assert len(found) > 4
    if buffer_size == 1000:
        for one, two in zip(found, [*played[0], *played[1]], strict=True):
            assert_same(one, two)
    else:
        last = [episode for episode in found if len(episode) == len(played[1][-1])][-1]
        assert_same(last, played[1][-1])


@pytest.mark.parametrize("buffer_size", [1000, 30, 17])
@pytest.mark.parametrize("learns", [[25, 25], [13, 1, 2, 40, 7]])
def test_no_episode_spans_two_calls_of_learn_or_the_end_of_the_buffer(buffer_size, learns) -> None:
    env = make_vec_env(lambda: recording(RandomLengths()), n_envs=1, seed=0)
    model = DQN("MlpPolicy", env, buffer_size=buffer_size, **small())
    for steps in learns:
        model.learn(steps)
    found, played = list(replayed_episodes(model.replay_buffer)), env.envs[0].env.recorded
    assert found
    by_return = {episode.episode_return: episode for episode in played}
    for episode in found:
        assert_same(episode, by_return[min(by_return, key=lambda known: abs(known - episode.episode_return))])
    if buffer_size == 1000:
        assert len(found) == len(played)


class Continuous(RandomLengths):
    action_space = gym.spaces.Box(-3.0, 5.0, (1,), np.float32)

    def step(self, action):
        return super().step(float(action[0]))


def test_continuous_actions_come_back_as_they_were_taken() -> None:
    env = make_vec_env(lambda: recording(Continuous()), n_envs=1, seed=0)
    buffer = SAC("MlpPolicy", env, buffer_size=500, **small()).learn(60).replay_buffer
    found = list(replayed_episodes(buffer))
    assert np.abs(np.concatenate([episode.actions for episode in found])).max() > 1.0
    for one, two in zip(found, env.envs[0].env.recorded, strict=True):
        assert_same(one, two)


def test_buffers_without_what_lessons_need_are_refused() -> None:
    saving = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
    with pytest.raises(ValueError, match="record the data with optimize_memory_usage=False"):
        list(replayed_episodes(DQN("MlpPolicy", vec_env(1), buffer_size=50, **small(), **saving).replay_buffer))
    env = trusted(vec_env(1))
    credit = {"credit": EpisodicCredit(env, LRPRedistributor(env.predictor))}
    redistributed = {"replay_buffer_class": RedistributedReplayBuffer, "replay_buffer_kwargs": credit}
    with pytest.raises(ValueError, match=r"the lessons are in its environment"):
        list(replayed_episodes(DQN("MlpPolicy", env, buffer_size=50, **small(), **redistributed).replay_buffer))


def test_lessons_from_elsewhere_teach_the_predictor_before_the_first_step() -> None:
    env = make_vec_env(RandomLengths, n_envs=1, seed=0)
    buffer = DQN("MlpPolicy", env, buffer_size=1000, **small()).learn(300).replay_buffer
    taught = RedistributedRewardVecEnv(vec_env(1), train_every=1)
    count = taught.online.teach(replayed_episodes(buffer))
    assert count == taught.online.lessons.seen > 32
    taught.reset()
    taught.step(np.zeros(1, dtype=int))
    assert taught.online.version == 1


@pytest.mark.filterwarnings("ignore::UserWarning:minari")  # of what a published data set should say
def test_a_minari_data_set_gives_its_finished_episodes(tmp_path, monkeypatch) -> None:
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = recording(RandomLengths())
    for seed in range(6):
        env.reset(seed=seed)
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(seed % 2)
            over = terminated or truncated
    buffers = [as_buffer(minari.data_collector.EpisodeBuffer, episode) for episode in env.recorded]
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    dataset = minari.create_dataset_from_buffers("random/lengths-v0", buffers, **spaces)
    found = list(minari_episodes(dataset))
    for one, two in zip(found, env.recorded, strict=True):
        assert_same(one, two)
    assert RedistributedRewardVecEnv(vec_env(1)).online.teach(found) == 6


class Recorded(NamedTuple):
    """An episode as a data set shows it."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray


def test_an_episode_of_a_data_set_that_was_left_unfinished_is_no_lesson() -> None:
    never, over = np.zeros(3, bool), np.array([False, False, True])
    steps = np.zeros((4, 2)), np.zeros(3), np.ones(3)
    data = [Recorded(*steps, never, never), Recorded(*steps, over, never), Recorded(*steps, never, over)]
    assert [episode.truncated for episode in minari_episodes(data)] == [False, True]


def as_buffer(buffer_type: Any, episode: Episode) -> Any:
    ends = np.arange(len(episode)) == len(episode) - 1
    return buffer_type(
        observations=episode.observations,
        actions=episode.actions,
        rewards=list(episode.rewards),
        terminations=list(ends & (not episode.truncated)),
        truncations=list(ends & episode.truncated),
        infos={},
    )
