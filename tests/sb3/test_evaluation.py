from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy

from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.sb3 import (
    CreditCheckpoints,
    EpisodicCredit,
    RedistributedReplayBuffer,
    RedistributedRewardVecEnv,
    RedistributedRolloutBuffer,
    RedistributionCallback,
    TimelinePictures,
)
from tests.sb3.play import QUICK, vec_env


def credit_env(**options: Any) -> RedistributedRewardVecEnv:
    return RedistributedRewardVecEnv(vec_env(2), train_every=32, min_lessons=4, training=QUICK, **options)


def ppo(env: RedistributedRewardVecEnv, **options: Any) -> PPO:
    policy = {"net_arch": [8]}
    return PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, device="cpu", policy_kwargs=policy, **options)


def test_evaluating_on_the_wrapped_environment_trains_nothing_and_sees_true_returns() -> None:
    env = credit_env(growth=1.0)
    model = ppo(env).learn(256)
    before = env.online.version, env.online.lessons.seen, env.vec_steps
    env.training = False
    returns, _ = evaluate_policy(model, env, 20, return_episode_rewards=True, warn=False)
    assert (env.online.version, env.online.lessons.seen, env.vec_steps) == before
    true = [wrapper.get_episode_rewards()[-1] for wrapper in env.venv.envs]
    assert set(np.round(true, 4)) & set(np.round(returns, 4))
    env.training = True
    model.learn(256)
    assert env.online.version > before[0]


def test_a_run_that_is_not_training_is_named_once(caplog) -> None:
    env = credit_env()
    env.training = False
    with caplog.at_level(logging.WARNING):
        ppo(env).learn(64, callback=RedistributionCallback())
    assert caplog.text.count("env.training is False") == 1


def test_held_out_lessons_come_from_every_environment() -> None:
    env = RedistributedRewardVecEnv(vec_env(5, longest=1), min_lessons=512, lesson_capacity=512)
    env.reset()
    held_from = set()
    for _ in range(60):
        env.step(np.zeros(5, int))
        for episode in env.just_finished:
            if any(held is episode.lesson for held in env.online.lessons.held_out):
                held_from.add(episode.env_index)
    assert held_from == {0, 1, 2, 3, 4}


def test_rollouts_of_another_environment_are_refused() -> None:
    env = credit_env()
    credit = {"credit": EpisodicCredit(env, LRPRedistributor(env.predictor))}
    model = ppo(env, rollout_buffer_class=RedistributedRolloutBuffer, rollout_buffer_kwargs=credit).learn(128)
    model.set_env(credit_env())
    with pytest.raises(ValueError, match=r"took 32 steps, the environment of this credit 0"):
        model.learn(128)
    other = credit_env()
    model.set_env(other)
    model.rollout_buffer.credit = EpisodicCredit(other, LRPRedistributor(other.predictor))
    model.learn(128)


def test_replay_of_another_environment_is_refused() -> None:
    env = credit_env()
    credit = {"credit": EpisodicCredit(env, LRPRedistributor(env.predictor))}
    options = {"replay_buffer_class": RedistributedReplayBuffer, "replay_buffer_kwargs": credit}
    model = DQN("MlpPolicy", env, buffer_size=200, learning_starts=20, device="cpu", **options).learn(60)
    model.set_env(credit_env())
    with pytest.raises(ValueError, match=r"took 1 steps, the environment of this credit 0"):
        model.learn(60)


def test_an_episode_after_an_interrupted_one_is_redistributed_in_the_replay_buffer() -> None:
    env = credit_env()
    credit = {"credit": EpisodicCredit(env, LRPRedistributor(env.predictor))}
    options = {"replay_buffer_class": RedistributedReplayBuffer, "replay_buffer_kwargs": credit}
    model = DQN("MlpPolicy", env, buffer_size=500, learning_starts=10**6, device="cpu", **options)
    for _ in range(6):
        model.learn(14)
    assert len(model.replay_buffer._stored) == env.online.lessons.seen


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"checkpoint_replay_buffer": True}, "does nothing without a checkpoint_folder"),
        ({"checkpoint_folder": "somewhere", "checkpoint_every": 0}, "every must be at least 1"),
        ({"pictures_every": 0}, "every must be at least 1"),
        ({"n_pictures": -1}, "count must be at least 1 picture, got -1"),
        ({"n_lessons": 0}, "n_lessons must be at least 1, got 0"),
    ],
)
def test_options_of_the_callback_that_do_nothing_are_refused(options, says) -> None:
    with pytest.raises(ValueError, match=says):
        RedistributionCallback(**options)


@pytest.mark.parametrize(("callback", "option"), [(CreditCheckpoints, "keep"), (TimelinePictures, "n_lessons")])
def test_each_callback_refuses_what_it_could_do_nothing_with(callback, option) -> None:
    folder = ["somewhere"] if callback is CreditCheckpoints else []
    with pytest.raises(ValueError, match=f"{option} must be at least 1"):
        callback(*folder, **{option: 0})


def test_an_on_policy_algorithm_has_no_replay_buffer_to_save(tmp_path) -> None:
    with pytest.raises(ValueError, match="PPO has no replay buffer to save"):
        ppo(credit_env()).learn(32, callback=RedistributionCallback(tmp_path, checkpoint_replay_buffer=True))
