from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import DummyVecEnv

from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.redistribution.config import REPLAYED
from rudder_lrp.sb3 import EpisodicCredit, RedistributedReplayBuffer, RedistributedRewardVecEnv
from tests.conftest import RandomLengths
from tests.sb3.play import NEVER, QUICK, FixedReward

pytestmark = pytest.mark.no_cover  # which would take memory of its own


def growth(env: RedistributedRewardVecEnv, vec_steps: int) -> int:
    """Bytes that stay allocated after the last third of so many steps."""
    rng = np.random.default_rng(0)
    env.reset()
    held = []
    tracemalloc.start()
    for _ in range(3):
        for _ in range(vec_steps // 3):
            env.step(rng.integers(2, size=env.num_envs))
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return held[2] - held[1]


@pytest.mark.parametrize("returns_vary", [True, False])
def test_memory_does_not_grow(returns_vary) -> None:
    # Without a Monitor, which remembers every episode.
    venv = DummyVecEnv([RandomLengths] * 2) if returns_vary else DummyVecEnv([lambda: FixedReward([1.0])])
    env = RedistributedRewardVecEnv(venv, training=QUICK, lesson_capacity=16, train_every=800, min_lessons=8)
    assert growth(env, 5400) < 20_000  # the first steps fill the held-out lessons; their lengths vary


def test_an_endless_episode_takes_no_more_memory_than_the_bound() -> None:
    env = RedistributedRewardVecEnv(DummyVecEnv([lambda: FixedReward([1.0], length=10**9)]), max_episode_steps=500)
    assert growth(env, 2100) < 20_000  # 700 steps more of an episode without a bound would take 70,000


def test_a_redistributed_replay_buffer_takes_no_more_memory_once_it_is_full() -> None:
    env = RedistributedRewardVecEnv(DummyVecEnv([RandomLengths] * 2), REPLAYED, training=QUICK, lesson_capacity=16)
    credit = EpisodicCredit(env, LRPRedistributor(env.predictor))
    buffer = {"replay_buffer_class": RedistributedReplayBuffer, "replay_buffer_kwargs": {"credit": credit}}
    model = DQN("MlpPolicy", env, buffer_size=400, learning_starts=NEVER, device="cpu", seed=0, **buffer)
    held = []
    tracemalloc.start()
    for _ in range(3):
        model.learn(1500, reset_num_timesteps=False)
        model.replay_buffer.sample(256)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[2] - held[1] < 20_000


@pytest.mark.slow
def test_memory_does_not_grow_over_a_million_steps() -> None:
    env = RedistributedRewardVecEnv(
        DummyVecEnv([RandomLengths] * 8), training=QUICK, lesson_capacity=64, train_every=50_000, min_lessons=8
    )
    assert growth(env, 125_000) < 20_000
