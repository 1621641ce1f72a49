from __future__ import annotations

from dataclasses import replace

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.deep.presets import AgentConfig, Credit, build_agent
from rudder_lrp.prediction.quality import Target
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig
from rudder_lrp.redistribution.config import ON_POLICY, REPLAYED
from rudder_lrp.sb3 import RedistributedReplayBuffer
from rudder_lrp.sb3.resume import credit_env


@pytest.mark.parametrize("algo", ["SAC", "TD3"])
@pytest.mark.parametrize("credit", [Credit.LRP, Credit.DIFFERENCE])
def test_off_policy_credit_is_relabelled_and_trained_for_replay_even_where_it_is_causal(algo, credit) -> None:
    model = build_agent(AgentConfig(env="Pendulum-v1", algo=algo, n_envs=1, credit=credit))
    assert isinstance(model, OffPolicyAlgorithm)
    assert isinstance(model.replay_buffer, RedistributedReplayBuffer)
    online = credit_env(model.get_env()).online
    assert online.trainer.config == REPLAYED.training
    assert online.config == REPLAYED


def test_the_agent_is_the_same_with_and_without_credit() -> None:
    plain, credited = (build_agent(AgentConfig("Pendulum-v1", "SAC", credit, n_envs=1)) for credit in ("none", "lrp"))
    for name in ("learning_rate", "learning_starts", "batch_size", "gamma", "tau", "train_freq", "buffer_size"):
        assert getattr(plain, name) == getattr(credited, name), name
    assert str(plain.policy) == str(credited.policy)


def test_a_training_of_one_s_own_is_kept() -> None:
    training = TrainingConfig(updates=7, along_weight=0.1)
    model = build_agent(
        AgentConfig(env="Pendulum-v1", algo="SAC", n_envs=1, redistribution=replace(REPLAYED, training=training))
    )
    assert credit_env(model.get_env()).online.trainer.config == training


def test_payments_every_few_steps_are_outstanding_for_replay_too() -> None:
    model = build_agent(AgentConfig(env="Pendulum-v1", algo="SAC", n_envs=1, delay=20))
    config = credit_env(model.get_env()).online.trainer.config
    assert (config.target, config.predicts) == (Target.OUTSTANDING, Predicts.SHARE)


def test_on_policy_credit_is_trained_as_ever() -> None:
    model = build_agent(AgentConfig(env="CartPole-v1", n_envs=1))
    assert isinstance(model, PPO)
    online = credit_env(model.get_env()).online
    assert online.trainer.config == ON_POLICY.training == TrainingConfig()
    assert (online.config.train_every, online.config.min_lessons) == (2048, 32)
