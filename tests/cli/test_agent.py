"""What an agent is built of, as its config says."""

from __future__ import annotations

import sys
from dataclasses import replace

import gymnasium as gym
import pytest
from stable_baselines3.common.buffers import RolloutBuffer

from rudder_lrp.cli.agent import ON_POLICY, REPLAYED, AgentConfig, Credit, build_agent, redistribution_of
from rudder_lrp.cli.environments import find_spec, outcome_labels
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.quality import Target
from rudder_lrp.sb3 import RedistributedReplayBuffer, RedistributedRewardVecEnv
from tests.cli.running import STEPS

STANDARD = replace(ON_POLICY, structure=Structure.STANDARD)


@pytest.mark.parametrize(
    ("config", "anew"),
    [
        (AgentConfig(STEPS), False),
        (AgentConfig(STEPS, credit=Credit.DIFFERENCE, redistribution=STANDARD), False),
        (AgentConfig(STEPS, redistribution=STANDARD), True),
        (AgentConfig(STEPS, algo="RecurrentPPO", redistribution=STANDARD), True),
        (AgentConfig(STEPS, credit=Credit.UNIFORM), True),
        (AgentConfig(STEPS, credit=Credit.NONE), False),
    ],
)
def test_only_what_cannot_be_known_on_the_way_is_redistributed_anew_in_a_rollout(config, anew) -> None:
    model = build_agent(replace(config, n_envs=2))
    assert type(model.rollout_buffer).__module__.startswith("rudder_lrp") == anew
    assert isinstance(model.rollout_buffer, RolloutBuffer)
    assert isinstance(model.get_env(), RedistributedRewardVecEnv) == (config.credit is not Credit.NONE)


def test_what_is_replayed_is_always_redistributed_anew() -> None:
    model = build_agent(AgentConfig(STEPS, algo="DQN", n_envs=1))
    assert isinstance(model.replay_buffer, RedistributedReplayBuffer)


@pytest.mark.parametrize(("delay", "target"), [(3, Target.OUTSTANDING), ("end", Target.LAST)])
def test_where_payments_on_the_way_come_late_all_that_is_outstanding_is_predicted(delay, target) -> None:
    env = build_agent(AgentConfig(STEPS, delay=delay, n_envs=1)).get_env()
    assert env.online.config.training.target is target


def test_how_a_predictor_learns_is_left_to_the_algorithm_unless_it_is_said() -> None:
    assert [redistribution_of(AgentConfig(STEPS, algo=algo)) for algo in ("PPO", "DQN")] == [ON_POLICY, REPLAYED]
    chosen = replace(ON_POLICY, growth=2.0)
    assert redistribution_of(AgentConfig(STEPS, algo="DQN", redistribution=chosen)) == chosen


def test_the_policy_that_a_file_names_is_taken(tmp_path) -> None:
    zoo = tmp_path / "ppo.yml"
    zoo.write_text("CartPole-v1:\n  policy: CnnPolicy\n")
    assert AgentConfig("CartPole-v1", algo_file=zoo).zoo.policy == "CnnPolicy"


def test_arguments_of_the_constructor_go_along() -> None:
    model = build_agent(AgentConfig(STEPS, n_envs=1, seed=7, algo_kwargs=("n_steps=16", "batch_size=8")), gamma=0.5)
    assert (model.gamma, model.n_steps, model.batch_size, model.seed, str(model.device)) == (0.5, 16, 8, 7, "cpu")


def test_an_environment_of_ones_own_is_found_where_the_command_runs(tmp_path, monkeypatch) -> None:
    (tmp_path / "module_of_my_own.py").write_text(
        "import gymnasium as gym\n"
        "gym.register('MyOwn-v0', 'gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=9)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert find_spec("module_of_my_own:MyOwn-v0").max_episode_steps == 9


def test_an_environment_that_names_no_outcomes_has_the_usual_ones() -> None:
    assert outcome_labels(gym.make("CartPole-v1")) == {"success": "success", "is_success": "success"}
