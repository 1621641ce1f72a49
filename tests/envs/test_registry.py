"""What every registered environment promises."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from envs import FiniteEnv, OptimalReward, optimal_redistribution

KNOWN = [id_ for id_ in envs.IDS if "KeyToDoor" not in id_]


def play(env: gym.Env, seed: int) -> tuple[list, list[float], list[dict]]:
    """An episode of random actions, drawn from the seed."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    observations, rewards, infos, over = [observation], [], [], False
    while not over:
        observation, reward, terminated, truncated, info = env.step(int(rng.integers(env.action_space.n)))
        over = terminated or truncated
        observations.append(observation)
        rewards.append(reward)
        infos.append(info)
    return observations, rewards, infos


@pytest.mark.parametrize("env_id", envs.IDS)
def test_every_environment_keeps_gymnasium_s_interface(env_id: str) -> None:
    check_env(gym.make(env_id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("env_id", envs.IDS)
def test_the_same_seed_plays_the_same_episode(env_id: str) -> None:
    first, again, other = (play(gym.make(env_id), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]
    assert first[1] != other[1] or not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("env_id", envs.IDS)
def test_some_steps_are_decisive_and_some_are_not(env_id: str) -> None:
    decisive = [info["decisive"] for seed in range(30) for info in play(gym.make(env_id), seed)[2]]
    share = np.mean(decisive)
    if "Bomb" in env_id or "TMaze" in env_id:  # random actions may never get there
        assert share < 0.5
    else:
        assert 0.0 < share < 0.7


@pytest.mark.parametrize("env_id", KNOWN)
def test_the_optimal_redistribution_has_the_same_return(env_id: str) -> None:
    for seed in range(5):
        _, rewards, infos = play(gym.make(env_id), seed)
        assert optimal_redistribution(infos).sum() == pytest.approx(sum(rewards), abs=1e-9)


@pytest.mark.parametrize("env_id", KNOWN)
def test_the_oracle_s_reward_has_the_same_return(env_id: str) -> None:
    _, rewards, infos = play(OptimalReward(gym.make(env_id)), 1)
    assert sum(rewards) == pytest.approx(sum(info["true_reward"] for info in infos), abs=1e-9)


@pytest.mark.parametrize("env_id", envs.IDS)
def test_the_card_names_rules_spaces_reward_delay_optimum_and_decisive_steps(env_id: str) -> None:
    card = type(gym.make(env_id).unwrapped).__doc__ or ""
    for line in ("Rules:", "Observation:", "Action:", "Reward:", "Delay:", "Optimal return:", "Decisive steps:"):
        assert line in card


@pytest.mark.parametrize("env_id", envs.IDS)
def test_the_optimal_return_is_known(env_id: str) -> None:
    assert envs.reference_return(env_id) == gym.make(env_id).unwrapped.optimal_return > 0


@pytest.mark.parametrize("env_id", [id_ for id_ in KNOWN if issubclass(gym.make(id_).unwrapped.__class__, FiniteEnv)])
def test_the_greedy_policy_of_the_true_values_earns_the_optimal_return(env_id: str) -> None:
    env = gym.make(env_id).unwrapped
    returns = [greedy_return(env, seed) for seed in range(40)]
    spread = np.std(returns) / np.sqrt(len(returns))
    assert abs(np.mean(returns) - env.optimal_return) <= 4 * spread + 1e-6


def greedy_return(env: FiniteEnv, seed: int) -> float:
    env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        action = int(env.model.optimal.action[env._step, env._state].argmax())
        _, reward, over, _, _ = env.step(action)
        total += reward
    return total


def test_without_known_expectations_the_oracle_says_so() -> None:
    with pytest.raises(ValueError, match="lack 'expected_return'"):
        optimal_redistribution(play(gym.make("rudder_lrp/KeyToDoor-v0"), 0)[2])
