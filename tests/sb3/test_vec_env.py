from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecNormalize

from rudder_lrp.lstm import Structure
from rudder_lrp.persistence.checkpoints import latest_checkpoint
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor
from rudder_lrp.sb3 import RedistributedRewardVecEnv, RedistributionCallback
from tests.conftest import SPACES
from tests.sb3.play import NEVER, QUICK, FixedReward, Played, assert_same_sum, cases, trusted, vec_env


@settings(max_examples=25)
@given(structure=st.sampled_from(list(Structure)), **cases(n_envs=4, longest=25, least_q=0.0))
def test_an_episode_s_rewards_sum_to_its_true_return(n_envs, longest, seed, q, structure) -> None:
    env = trusted(vec_env(n_envs, seed, longest), q, structure=structure)
    played = Played(env, 60, seed)
    assert played.episodes
    assert_same_sum(played.handed, played.true)


@settings(max_examples=6)
@given(seed=st.integers(0, 1000), train_every=st.integers(1, 40))
def test_sums_hold_while_predictor_and_trust_change_in_the_middle_of_episodes(seed, train_every) -> None:
    env = RedistributedRewardVecEnv(vec_env(2, seed), training=QUICK, train_every=train_every, min_lessons=4)
    env.online.quality = env.online.quality._replace(explained_variance=1.0)
    played = Played(env, 80, seed)
    assert env.online.trainer.optimizer.state, "the predictor was never trained"
    assert_same_sum(played.handed, played.true)


@pytest.mark.parametrize("structure", list(Structure))
def test_rewards_equal_what_the_episodes_give_offline(structure) -> None:
    env = trusted(vec_env(3), structure=structure)
    played = Played(env, 100)
    offline = DifferenceRedistributor(env.predictor).redistribute(played.episodes)
    for online, expected in zip(played.handed, offline, strict=True):
        np.testing.assert_allclose(online, expected, rtol=0, atol=1e-6 * max(np.abs(expected).max(), 1.0))


def test_on_the_accumulator_the_rewards_are_lrp_relevance() -> None:
    env = trusted(vec_env(3), structure="accumulator")
    played = Played(env, 100)
    for online, expected in zip(
        played.handed, LRPRedistributor(env.predictor).redistribute(played.episodes), strict=True
    ):
        np.testing.assert_allclose(online, expected, rtol=0, atol=1e-6 * max(np.abs(expected).max(), 1.0))


def test_a_mixture_lies_between_the_original_and_the_redistributed_reward() -> None:
    original = Played(trusted(vec_env(), 0.0), 60).handed
    redistributed = Played(trusted(vec_env(), 1.0), 60).handed
    mixed = Played(trusted(vec_env(), 0.6), 60).handed
    for a, b, c in zip(original, redistributed, mixed, strict=True):
        np.testing.assert_allclose(0.4 * a + 0.6 * b, c, atol=1e-5)


def test_without_trust_the_agent_gets_exactly_the_reward_of_the_environment() -> None:
    env = RedistributedRewardVecEnv(vec_env(), train_every=NEVER)
    played = Played(env, 60)
    for handed, true in zip(played.handed, played.true, strict=True):
        np.testing.assert_array_equal(handed, true)


def test_a_quality_within_its_standard_error_is_no_trust() -> None:
    env = trusted(vec_env(), 0.3)
    env.online.quality = env.online.quality._replace(standard_error=0.4)
    played = Played(env, 40)
    for handed, true in zip(played.handed, played.true, strict=True):
        np.testing.assert_array_equal(handed, true)


def test_the_monitor_below_reports_true_returns() -> None:
    env = trusted(vec_env(1, seed=3))
    rng, total, reported = np.random.default_rng(0), 0.0, []
    env.reset()
    for _ in range(50):
        _, _, dones, infos = env.step(rng.integers(2, size=1))
        total += infos[0]["true_reward"]
        if dones[0]:
            reported.append((infos[0]["episode"]["r"], total))
            total = 0.0
    assert len(reported) > 3
    for monitor, true in reported:
        assert monitor == pytest.approx(true, abs=1e-5)


def test_a_reset_drops_the_episode_that_was_running() -> None:
    env = trusted(vec_env(1, longest=40))
    env.reset()
    env.step(np.array([0]))
    env.online.lessons.training.clear()
    played = Played(env, 60)
    assert_same_sum(played.handed, played.true)
    assert len(env.online.lessons.training) + len(env.online.lessons.held_out) == len(played.episodes)


class _Rewards(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[np.ndarray] = []

    def _on_step(self) -> bool:
        self.seen.append(self.locals["rewards"].copy())
        return True


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> np.ndarray:
        env = RedistributedRewardVecEnv(vec_env(2, seed), training=QUICK, train_every=64, min_lessons=4, seed=seed)
        env.online.quality = env.online.quality._replace(explained_variance=0.5)
        rewards = _Rewards()
        PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=2, seed=seed, device="cpu").learn(256, rewards)
        return np.stack(rewards.seen)

    np.testing.assert_array_equal(run(5), run(5))
    assert not np.array_equal(run(5), run(6))


def test_the_front_door_needs_one_line(tmp_path) -> None:
    env = RedistributedRewardVecEnv(vec_env(4), training=QUICK, train_every=64, min_lessons=4)
    model = A2C("MlpPolicy", env, device="cpu").learn(400, callback=RedistributionCallback(tmp_path))
    assert model.num_timesteps == 400
    assert (tmp_path / "predictor.safetensors").is_file()
    assert latest_checkpoint(tmp_path) is not None


def test_another_environment_than_the_predictor_was_made_for_is_refused() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    with pytest.raises(ValueError, match="made for the observation space"):
        RedistributedRewardVecEnv(make_vec_env("CartPole-v1"), predictor=predictor)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_names_its_environment_and_step(bad) -> None:
    venv = DummyVecEnv([lambda: FixedReward([1.0]), lambda: FixedReward([0.0] * 7 + [bad])])
    env = RedistributedRewardVecEnv(venv)
    with pytest.raises(ValueError, match=r"environment 1 paid (nan|inf) at step 2 of its episode"):
        Played(env, 10)
    assert env.online.lessons.seen == 2, "the lessons finished before are kept"


class _Forgets(VecEnvWrapper):
    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            info.pop("terminal_observation", None)
        return observations, rewards, dones, infos


def test_a_vec_env_without_terminal_observations_is_refused() -> None:
    env = RedistributedRewardVecEnv(_Forgets(DummyVecEnv([lambda: FixedReward([1.0])])))
    with pytest.raises(ValueError, match="lacks 'terminal_observation'"):
        Played(env, 6)


def test_the_callback_without_the_wrapper_is_refused() -> None:
    with pytest.raises(ValueError, match="found no RedistributedRewardVecEnv"):
        PPO("MlpPolicy", vec_env(), n_steps=16, batch_size=32, device="cpu").learn(
            32, callback=RedistributionCallback()
        )


def test_a_step_before_the_first_reset_is_refused() -> None:
    with pytest.raises(RuntimeError, match="reset the environment before stepping it"):
        trusted(vec_env()).step(np.zeros(2, int))


def test_rewards_that_are_redistributed_already_are_refused() -> None:
    with pytest.raises(ValueError, match="redistributed already; wrap it once"):
        RedistributedRewardVecEnv(VecNormalize(trusted(vec_env()), norm_reward=False))


def test_rewards_normalised_below_the_wrapper_are_refused() -> None:
    with pytest.raises(ValueError, match="norm_reward=False"):
        RedistributedRewardVecEnv(VecNormalize(vec_env()))


def test_an_episode_that_never_ends_gets_the_original_reward_after_a_bound(caplog) -> None:
    venv = DummyVecEnv([lambda: FixedReward([1.0], length=NEVER), lambda: FixedReward([1.0, 2.0], length=6)])
    env = trusted(venv, max_episode_steps=10)
    env.reset()
    handed = np.stack([env.step(np.zeros(2, dtype=int))[1] for _ in range(40)]).astype(np.float64)
    np.testing.assert_allclose(handed[10:, 0], 1.0, rtol=0, atol=1e-6)
    assert handed[:10, 0].sum() == pytest.approx(10.0, abs=1e-5)
    assert sum("environment 0" in record.message for record in caplog.records) == 1
    assert env.online.lessons.seen == 6, "the other environment keeps giving lessons"


def test_an_episode_that_ends_beyond_the_bound_keeps_its_return() -> None:
    venv = DummyVecEnv([lambda: FixedReward([1.0, -3.0, 2.0], length=15)])
    played = Played(trusted(venv, max_episode_steps=10), 60)
    assert len(played.episodes) == 4
    assert_same_sum(played.handed, played.true)


def test_a_method_of_the_environments_is_called_with_all_that_it_is_given() -> None:
    env = trusted(vec_env(2))
    found = env.env_method("reset", seed=3, options={"a": 1}, indices=[1])
    assert len(found) == 1
    assert np.array_equal(found[0][0], vec_env(1).env_method("reset", seed=3)[0][0])
