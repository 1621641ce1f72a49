from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env

from rudder_lrp.prediction.quality import Quality
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.redistribution.causal import CausalCredit
from rudder_lrp.sb3 import RedistributedRewardVecEnv
from rudder_lrp.wrappers import RedistributedReward, RedistributedVectorReward
from tests.conftest import RandomLengths

NEVER = 10**9


def trust(credit: CausalCredit, q: float = 1.0) -> None:
    credit.online.predictor.rescale_(-2.0, 5.0)
    credit.online.quality = Quality(q, 0.0, 0.0, slope=q)


def play(env: gym.vector.VectorEnv, steps: int, seed: int = 0) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Handed and true rewards of each environment's finished episodes, cut by what the environment says."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    mode = env.metadata["autoreset_mode"]
    open_rows: list[list[tuple[float, float]]] = [[] for _ in range(env.num_envs)]
    episodes: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(env.num_envs)]
    for _ in range(steps):
        _, handed, terminated, truncated, infos = env.step(rng.integers(2, size=env.num_envs))
        over = terminated | truncated
        for k in range(env.num_envs):
            if infos["_true_reward"][k]:
                open_rows[k].append((handed[k], infos["true_reward"][k]))
            else:
                assert handed[k] == infos["true_reward"][k] == 0.0
            if over[k]:
                rows = np.array(open_rows[k])
                episodes[k].append((rows[:, 0], rows[:, 1]))
                open_rows[k] = []
        if mode is AutoresetMode.DISABLED and over.any():
            env.reset(options={"reset_mask": over})
    return episodes


@pytest.mark.parametrize("mode", list(AutoresetMode))
@settings(max_examples=8)
@given(n_envs=st.integers(1, 3), longest=st.integers(1, 12), seed=st.integers(0, 100), q=st.floats(0.2, 1.0))
def test_an_episode_s_rewards_sum_to_its_true_return_in_every_autoreset_mode(mode, n_envs, longest, seed, q) -> None:
    plain = SyncVectorEnv([lambda: RandomLengths(longest)] * n_envs, autoreset_mode=mode)
    env = RedistributedVectorReward(plain, train_every=NEVER)
    trust(env.credit, q)
    for episodes in play(env, 60, seed):
        assert episodes
        for handed, true in episodes:
            assert handed.sum() == pytest.approx(true.sum(), abs=1e-5 * (1.0 + np.abs(handed).max()))
    lessons = env.credit.online.lessons
    assert lessons.seen == sum(len(lesson) > 0 for lesson in (*lessons.training, *lessons.held_out))


def test_all_modes_and_stable_baselines_agree_on_the_credit() -> None:
    rewards: dict[Any, list[np.ndarray]] = {}
    for mode in AutoresetMode:
        env = RedistributedVectorReward(SyncVectorEnv([RandomLengths], autoreset_mode=mode), train_every=NEVER)
        trust(env.credit)
        actions = iter(np.zeros(10**6, dtype=int))
        env.reset(seed=3)
        given_ = []
        for _ in range(40):
            _, handed, terminated, truncated, infos = env.step(np.array([next(actions)]))
            if infos["_true_reward"][0]:
                given_.append(handed[0])
            if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
                env.reset(options={"reset_mask": terminated | truncated})
        rewards[mode] = given_
    sb3 = RedistributedRewardVecEnv(make_vec_env(RandomLengths, n_envs=1, seed=3), train_every=NEVER)
    trust(sb3.credit)
    sb3.reset()
    expected = [float(sb3.step(np.zeros(1, dtype=int))[1][0]) for _ in range(40)]
    for mode, given_ in rewards.items():
        np.testing.assert_allclose(given_, expected[: len(given_)], atol=1e-5, err_msg=str(mode))


def test_one_environment_gets_the_same_credit_as_in_a_vector() -> None:
    single = RedistributedReward(RandomLengths(), train_every=NEVER)
    vector = RedistributedVectorReward(
        SyncVectorEnv([RandomLengths], autoreset_mode=AutoresetMode.SAME_STEP), train_every=NEVER
    )
    trust(single.credit)
    trust(vector.credit)
    single.reset(seed=1)
    vector.reset(seed=1)
    for _ in range(50):
        _, handed, terminated, truncated, info = single.step(1)
        _, handed_in_vector, *_, infos = vector.step(np.array([1]))
        assert handed == pytest.approx(handed_in_vector[0], abs=1e-6)
        assert info["true_reward"] == pytest.approx(infos["true_reward"][0])
        if terminated or truncated:
            single.reset()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_lesson_ends_with_what_was_seen_last_and_not_with_what_a_reset_shows(mode) -> None:
    """The last step gets what is left of the return whatever was seen, so rewards alone would not tell."""
    single = RedistributedReward(RandomLengths(), train_every=NEVER)
    vector = RedistributedVectorReward(SyncVectorEnv([RandomLengths], autoreset_mode=mode), train_every=NEVER)
    play(vector, 100)
    lessons = vector.credit.online.lessons
    single.reset(seed=0)
    while single.credit.online.lessons.seen < lessons.seen:
        *_, terminated, truncated, _ = single.step(0)
        if terminated or truncated:
            single.reset()
    own = single.credit.online.lessons
    assert lessons.seen > 3
    for one, other in zip((*own.training, *own.held_out), (*lessons.training, *lessons.held_out), strict=True):
        np.testing.assert_array_equal(one.features[-1, :3], other.features[-1, :3])


class Dictionary(gym.Env):
    observation_space = spaces.Dict(a=spaces.Box(-1.0, 1.0, (2,), np.float32), b=spaces.Discrete(3))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.left = 4
        return self.observation_space.sample(), {}

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        self.left -= 1
        return self.observation_space.sample(), float(action), self.left == 0, False, {}


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_dictionaries_are_observed_and_the_predictor_learns(mode) -> None:
    options = {"training": TrainingConfig(updates=2, batch_size=4), "train_every": 20, "min_lessons": 4}
    env = RedistributedVectorReward(SyncVectorEnv([Dictionary] * 2, autoreset_mode=mode), **options)
    play(env, 60)
    assert env.credit.online.version > 0


def test_environments_in_other_processes_and_statistics_below() -> None:
    below = RecordEpisodeStatistics(AsyncVectorEnv([RandomLengths] * 2, context="fork"))
    env = RedistributedVectorReward(below, train_every=NEVER)
    trust(env.credit)
    episodes = play(env, 60)
    env.close()
    true = sorted(float(true.sum()) for of_env in episodes for _, true in of_env)
    np.testing.assert_allclose(sorted(below.return_queue), true, rtol=1e-4)


def test_an_unknown_autoreset_mode_is_refused() -> None:
    plain = SyncVectorEnv([RandomLengths])
    plain.metadata = {}
    with pytest.raises(ValueError, match="name no autoreset_mode"):
        RedistributedVectorReward(plain)


class Paying(gym.Env):
    """Ten steps; pays what it is told to, as whatever type that is."""

    observation_space = spaces.Box(-9.0, 9.0, (1,), np.float32)
    action_space = spaces.Dict(move=spaces.Discrete(3), push=spaces.Box(-1.0, 1.0, (2,), np.float32))

    def __init__(self, reward: Any = 1.0) -> None:
        self.reward = reward

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict]:
        self.t += 1
        return np.full(1, self.t, np.float32), self.reward, self.t == 10, False, {}


ONES = [1, True, Fraction(1), np.float32(1.0), np.array([1.0]), np.array(1), torch.tensor(1.0), torch.tensor([[1]])]


@pytest.mark.parametrize("reward", [*ONES, torch.tensor(1.0, requires_grad=True)], ids=repr)
def test_a_reward_may_be_any_one_number(reward) -> None:
    env = RedistributedReward(Paying(reward))
    env.reset(seed=0)
    total = 0.0
    for _ in range(10):
        _, handed, over, _, info = env.step(env.action_space.sample())
        total += handed
        assert info["true_reward"] == 1.0
    assert over
    assert total == pytest.approx(10.0)
    assert env.credit.online.lessons.seen == 1


def test_rewards_that_are_redistributed_already_are_refused() -> None:
    once = SyncVectorEnv([RandomLengths], autoreset_mode=AutoresetMode.SAME_STEP)
    for wrap, env in ((RedistributedReward, RandomLengths()), (RedistributedVectorReward, once)):
        with pytest.raises(ValueError, match="redistributed already; wrap it once"):
            wrap(wrap(env))


@pytest.mark.parametrize("reward", [np.ones(2), 1j, "1"], ids=repr)
def test_a_reward_that_is_not_one_real_number_is_refused(reward) -> None:
    env = RedistributedReward(Paying(reward))
    env.reset()
    with pytest.raises(ValueError, match="a reward is one number a step"):
        env.step(env.action_space.sample())


def test_an_episode_is_stepped_from_a_reset_to_its_end_and_no_further() -> None:
    env = RedistributedReward(Paying())
    with pytest.raises(RuntimeError, match="reset the environment first"):
        env.step(env.action_space.sample())
    env.reset()
    for _ in range(10):
        env.step(env.action_space.sample())
    with pytest.raises(RuntimeError, match="reset the environment first"):
        env.step(env.action_space.sample())


def test_a_time_limit_above_the_wrapper_is_said_to_break_the_sum_once(caplog) -> None:
    inner = RedistributedReward(RandomLengths(), min_lessons=NEVER, lesson_capacity=NEVER)
    trust(inner.credit)
    env = gym.wrappers.TimeLimit(inner, 3)
    with caplog.at_level(logging.WARNING):
        for seed in range(20):
            env.reset(seed=seed)
            over = False
            while not over:
                *_, terminated, truncated, _ = env.step(1)
                over = terminated or truncated
    assert caplog.text.count("an episode was reset before it was over") == 1
    assert "put a TimeLimit below this wrapper, not above it, or set env.training = False to evaluate" in caplog.text


def test_a_time_limit_below_the_wrapper_needs_no_word(caplog) -> None:
    env = RedistributedReward(gym.wrappers.TimeLimit(RandomLengths(), 3), min_lessons=NEVER, lesson_capacity=NEVER)
    trust(env.credit)
    for seed in range(20):
        env.reset(seed=seed)
        over = False
        while not over:
            *_, terminated, truncated, _ = env.step(1)
            over = terminated or truncated
    assert not caplog.text


def test_environments_that_are_over_are_not_stepped_where_nobody_resets_them() -> None:
    class Careless(SyncVectorEnv):
        def step(self, actions):
            self._autoreset_envs[:] = False
            return super().step(actions)

    env = RedistributedVectorReward(Careless([lambda: RandomLengths(1)] * 2, autoreset_mode=AutoresetMode.DISABLED))
    env.reset(seed=0)
    env.step(np.zeros(2, int))
    with pytest.raises(RuntimeError, match=r"environments \[0, 1\] are over and do not reset themselves"):
        env.step(np.zeros(2, int))
    env.reset(options={"reset_mask": np.array([True, True])})
    env.step(np.zeros(2, int))


def test_a_terminal_observation_that_is_missing_is_said() -> None:
    class Forgetful(SyncVectorEnv):
        def step(self, actions):
            *step, infos = super().step(actions)
            infos.pop("final_obs", None)
            return *step, infos

    env = RedistributedVectorReward(Forgetful([lambda: RandomLengths(1)], autoreset_mode=AutoresetMode.SAME_STEP))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"environment 0 is over .* the infos hold no final_obs"):
        env.step(np.zeros(1, int))


def test_evaluation_hands_on_the_true_reward_and_teaches_nothing() -> None:
    plain = SyncVectorEnv([RandomLengths] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    env = RedistributedVectorReward(plain, min_lessons=NEVER, lesson_capacity=NEVER)
    trust(env.credit)
    play(env, 20)
    seen = env.credit.online.lessons.seen
    env.training = False
    assert not env.training
    for episodes in play(env, 30):
        for handed, true in episodes:
            np.testing.assert_array_equal(handed, true.astype(np.float32))
    assert env.credit.online.lessons.seen == seen
    env.training = True
    episodes = play(env, 30)
    assert env.credit.online.lessons.seen == seen + sum(len(of_env) for of_env in episodes)


def test_an_episode_that_began_in_an_evaluation_is_no_lesson() -> None:
    env = RedistributedReward(Paying(), min_lessons=NEVER, lesson_capacity=NEVER)
    trust(env.credit)
    env.training = False
    env.reset()
    for step in range(10):
        env.training = step >= 4
        _, handed, *_ = env.step(env.action_space.sample())
        assert handed == 1.0
    assert env.credit.online.lessons.seen == 0
    env.reset()
    for _ in range(10):
        env.step(env.action_space.sample())
    assert env.credit.online.lessons.seen == 1
