from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rudder_lrp.lstm import Structure
from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.redistribution.discount import discounted_return
from rudder_lrp.sb3 import (
    EpisodicCredit,
    RedistributedRewardVecEnv,
    RedistributedRolloutBuffer,
    RedistributionCallback,
)
from tests.sb3.play import QUICK, FixedReward, KeepRollouts, Played, cases, trusted, vec_env

VALUE = 7.0
GAMMA = 0.9


def agent(env: RedistributedRewardVecEnv, n_steps: int) -> PPO:
    """A PPO that values every state at 7 and never learns, with episodic LRP credit."""
    credit = EpisodicCredit(env, LRPRedistributor(env.predictor))
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=n_steps,
        batch_size=n_steps * env.num_envs,
        n_epochs=1,
        learning_rate=0.0,
        gamma=GAMMA,
        seed=0,
        device="cpu",
        rollout_buffer_class=RedistributedRolloutBuffer,
        rollout_buffer_kwargs={"credit": credit},
    )
    with torch.no_grad():
        model.policy.value_net.weight.zero_()
        model.policy.value_net.bias.fill_(VALUE)
    return model


def episodes_of(rollouts: KeepRollouts) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rewards held by the buffers (bootstraps taken off) and true rewards."""
    held = np.concatenate(rollouts.rewards) - GAMMA * VALUE * np.concatenate(rollouts.truncated)
    true, dones = np.concatenate(rollouts.true), np.concatenate(rollouts.dones)
    for env in range(held.shape[1]):
        ends = np.flatnonzero(dones[:, env])
        for start, end in zip(np.concatenate([[0], ends + 1])[:-1], ends, strict=True):
            yield held[start : end + 1, env], true[start : end + 1, env]


def assert_sums(rollouts: KeepRollouts) -> None:
    for held, true in episodes_of(rollouts):
        magnitude = np.abs(held).max() + np.abs(true).max() + VALUE
        assert abs(held.sum() - true.sum()) <= 1e-6 * magnitude * len(held)


@settings(max_examples=15)
@given(n_steps=st.integers(2, 20), structure=st.sampled_from(list(Structure)), **cases())
def test_an_episode_s_rewards_sum_to_its_true_return_across_rollouts(
    n_envs, longest, n_steps, seed, q, structure
) -> None:
    rollouts = KeepRollouts()
    model = agent(trusted(vec_env(n_envs, seed, longest), q, structure=structure), n_steps)
    model.learn(4 * n_steps * n_envs, callback=rollouts)
    assert_sums(rollouts)


@settings(max_examples=5)
@given(seed=st.integers(0, 1000), n_steps=st.integers(4, 30), train_every=st.integers(1, 60))
def test_sums_hold_while_predictor_and_trust_change_between_and_within_rollouts(seed, n_steps, train_every) -> None:
    env = RedistributedRewardVecEnv(vec_env(2, seed), training=QUICK, train_every=train_every, min_lessons=4)
    rollouts = KeepRollouts()
    agent(env, n_steps).learn(240, callback=rollouts)
    assert env.online.version > 1
    assert_sums(rollouts)


def test_whole_episodes_get_what_they_give_offline_and_cut_ones_keep_what_they_were_handed() -> None:
    env = trusted(vec_env(2, seed=1))
    model = agent(env, 32)
    rollouts, handed, lessons = KeepRollouts(), {}, {}
    take = env.take_finished_episodes

    def remember():
        for episode in (finished := take()):
            key = (episode.env_index, episode.end)
            lessons[key], handed[key] = episode.lesson, episode.handed
        return finished

    env.take_finished_episodes = remember
    model.learn(5 * 64, callback=rollouts)
    redistributor = LRPRedistributor(env.predictor)
    held = np.concatenate(rollouts.rewards) - GAMMA * VALUE * np.concatenate(rollouts.truncated)
    whole, cut = 0, 0
    for (index, end), lesson in lessons.items():
        start = end - len(lesson)
        is_whole = start // 32 == (end - 1) // 32
        expected = redistributor.redistribute([lesson])[0] if is_whole else handed[index, end]
        whole, cut = whole + is_whole, cut + (not is_whole)
        np.testing.assert_allclose(held[start:end, index], expected, rtol=0, atol=3e-6)
    assert whole > 10
    assert cut > 3


def test_a_bootstrapped_value_at_a_time_limit_is_never_redistributed() -> None:
    with_credit, without = KeepRollouts(), KeepRollouts()
    agent(trusted(vec_env(2, seed=1)), 32).learn(192, callback=with_credit)
    agent(trusted(vec_env(2, seed=1), 0.0), 32).learn(192, callback=without)
    truncated = np.concatenate(without.truncated)
    assert truncated.any()
    plain = np.concatenate(without.rewards) - np.concatenate(without.true)
    np.testing.assert_allclose(plain, GAMMA * VALUE * truncated, atol=1e-5)
    assert_sums(with_credit)


def test_without_trust_the_buffer_holds_the_reward_of_the_environment() -> None:
    rollouts = KeepRollouts()
    agent(trusted(vec_env(2), 0.0), 16).learn(128, callback=rollouts)
    for held, true in episodes_of(rollouts):
        np.testing.assert_allclose(held, true, atol=1e-5)


def test_advantages_are_computed_from_the_redistributed_rewards() -> None:
    env = trusted(vec_env(1, longest=4))
    model = agent(env, 16)
    model.learn(16)
    buffer = model.rollout_buffer
    rewards, advantages = buffer.rewards.copy(), buffer.advantages.reshape(16, 1).copy()
    assert not np.allclose(rewards, 0.0)
    last, total = np.zeros(1), np.zeros_like(advantages)
    starts, values = buffer.episode_starts, np.full(16, VALUE)
    alive = 1.0 - np.append(starts[1:, 0], float(model._last_episode_starts[0]))
    for t in reversed(range(16)):
        delta = rewards[t] + GAMMA * values[t] * alive[t] - VALUE
        last = delta + GAMMA * model.gae_lambda * alive[t] * last
        total[t] = last
    np.testing.assert_allclose(advantages, total, atol=1e-4)


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_trains_while_the_predictor_learns(algorithm: type[BaseAlgorithm], tmp_path) -> None:
    env = RedistributedRewardVecEnv(vec_env(2), training=QUICK, train_every=64, min_lessons=4)
    credit = EpisodicCredit(env, LRPRedistributor(env.predictor))
    model = algorithm(
        "MlpPolicy",
        env,
        n_steps=32,
        device="cpu",
        rollout_buffer_class=RedistributedRolloutBuffer,
        rollout_buffer_kwargs={"credit": credit},
    )
    model.learn(512, callback=RedistributionCallback(tmp_path))
    assert env.online.trainer.optimizer.state


def test_a_model_saves_without_environment_and_trains_on_when_connected_again(tmp_path) -> None:
    env = trusted(vec_env(2))
    model = agent(env, 16)
    model.learn(32)
    model.save(tmp_path / "model")
    assert (tmp_path / "model.zip").stat().st_size < 300_000
    again = trusted(vec_env(2))
    lost = PPO.load(tmp_path / "model", env=again, device="cpu")
    observation = again.reset()
    lost.predict(observation)
    with pytest.raises(RuntimeError, match="load the model with"):
        lost.learn(32)
    credit = EpisodicCredit(again, LRPRedistributor(again.predictor))
    PPO.load(tmp_path / "model", env=again, device="cpu", rollout_buffer_kwargs={"credit": credit}).learn(32)


def test_rewards_normalised_above_the_wrapper_are_refused() -> None:
    env = trusted(vec_env(2))
    credit = EpisodicCredit(env, LRPRedistributor(env.predictor))
    model = PPO(
        "MlpPolicy",
        VecNormalize(env),
        n_steps=64,
        device="cpu",
        rollout_buffer_class=RedistributedRolloutBuffer,
        rollout_buffer_kwargs={"credit": credit},
    )
    with pytest.raises(ValueError, match="norm_reward=False"):
        model.learn(128)


def test_rollouts_too_short_for_any_episode_are_told_once(caplog) -> None:
    env = trusted(DummyVecEnv([lambda: FixedReward([1.0], length=10)]))
    agent(env, 4).learn(200)
    assert sum("n_steps=4" in record.message for record in caplog.records) == 1


def test_a_corrected_discount_keeps_the_discounted_return_of_whole_episodes() -> None:
    env = trusted(vec_env(1))
    credit = EpisodicCredit(env, LRPRedistributor(env.predictor), gamma=GAMMA)
    Played(env, 60)
    lessons = [episode.lesson for episode in credit.take_finished()]
    for rewards, lesson in zip(credit.rewards(lessons), lessons, strict=True):
        kept, original = (discounted_return(x, GAMMA) for x in (rewards, lesson.rewards))
        assert kept == pytest.approx(original, abs=1e-6)


@pytest.mark.parametrize(("gamma", "told"), [(0.5, 1), (1.0, 0)])
def test_a_discount_over_a_long_delay_is_told_once(gamma, told, caplog) -> None:
    venv = DummyVecEnv([lambda: FixedReward([0.0] * 19 + [5.0] + [0.0] * 19 + [7.0], length=20)] * 2)
    env = RedistributedRewardVecEnv(venv, training=QUICK, train_every=128, min_lessons=4)
    with torch.no_grad():
        env.predictor.readout.bias.fill_(6.0)  # expects the mean return, and so credits the first step with it
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=128, n_epochs=1, gamma=gamma, device="cpu")
    model.learn(512, callback=RedistributionCallback())
    assert env.online.version > 1
    assert sum("discounts to" in record.message for record in caplog.records) == told


def test_a_redistributor_of_another_predictor_than_is_trained_and_trusted_is_refused() -> None:
    env, other = trusted(vec_env()), trusted(vec_env())
    with pytest.raises(ValueError, match=r"asks another predictor .* build it with env.predictor"):
        EpisodicCredit(env, LRPRedistributor(other.predictor))


def test_another_discount_than_the_algorithm_s_is_refused() -> None:
    env = trusted(vec_env())
    credit = EpisodicCredit(env, LRPRedistributor(env.predictor), gamma=0.9)
    with pytest.raises(ValueError, match=r"discounted by 0.9, and the algorithm discounts by 0.99"):
        PPO("MlpPolicy", env, rollout_buffer_class=RedistributedRolloutBuffer, rollout_buffer_kwargs={"credit": credit})


@pytest.mark.parametrize("n_envs", [1, 3])
def test_a_recurrent_agent_s_buffer_is_replaced_by_one_that_is_like_it(n_envs) -> None:
    contrib = pytest.importorskip("sb3_contrib")
    from rudder_lrp.sb3.contrib import RedistributedRecurrentRolloutBuffer, use_episodic_credit

    env = trusted(vec_env(n_envs))
    model = contrib.RecurrentPPO("MlpLstmPolicy", env, n_steps=8, gamma=0.7, gae_lambda=0.6, device="cpu")
    old, credit = model.rollout_buffer, EpisodicCredit(env, LRPRedistributor(env.predictor))
    use_episodic_credit(model, credit)
    new = model.rollout_buffer
    assert isinstance(new, RedistributedRecurrentRolloutBuffer)
    assert new.credit is credit
    for name in ("buffer_size", "n_envs", "gamma", "gae_lambda", "hidden_state_shape", "observation_space", "device"):
        assert getattr(new, name) == getattr(old, name), name
