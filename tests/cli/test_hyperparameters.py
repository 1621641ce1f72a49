from __future__ import annotations

import pytest
from stable_baselines3 import PPO
from torch import nn

from rudder_lrp.cli.agent import AgentConfig, Credit, build_agent
from rudder_lrp.cli.hyperparameters import check_arguments, parse_assignments, read_zoo_file
from rudder_lrp.cli.train import Train

ZOO = """
LunarLander-v3: &defaults
  n_envs: 3
  n_timesteps: !!float 5e4
  policy: 'MlpPolicy'
  learning_rate: lin_2e-4
  clip_range: 0.1
  gamma: 0.999
  policy_kwargs: "dict(activation_fn=nn.ReLU, net_arch=[16], ortho_init=False)"
CartPole-v1:
  <<: *defaults
  normalize: true
"""


@pytest.fixture
def zoo_file(tmp_path):
    path = tmp_path / "ppo.yml"
    path.write_text(ZOO)
    return path


def test_values_are_read_as_yaml_and_numbers_as_people_write_them() -> None:
    read = parse_assignments(["a=1", "b=1e-3", "c=true", "d=[1, 2]", "e={net_arch: [8]}", "f=text"])
    assert read == {"a": 1, "b": 1e-3, "c": True, "d": [1, 2], "e": {"net_arch": [8]}, "f": "text"}


def test_a_file_of_rl_zoo_makes_the_agent_it_describes(zoo_file) -> None:
    model = build_agent(AgentConfig("CartPole-v1", algo_file=zoo_file, credit=Credit.NONE))
    assert isinstance(model, PPO)
    assert model.n_envs == 3
    assert (model.gamma, model.clip_range(1.0)) == (0.999, 0.1)
    assert model.lr_schedule(1.0) == pytest.approx(2e-4)
    assert model.lr_schedule(0.5) == pytest.approx(1e-4)
    assert model.get_vec_normalize_env() is not None
    assert any(isinstance(part, nn.ReLU) for part in model.policy.modules())
    assert model.ent_coef == 0.0  # nothing of what was chosen here remains
    assert Train(AgentConfig("CartPole-v1", algo_file=zoo_file)).total == 50_000
    assert Train(AgentConfig("CartPole-v1", algo_file=zoo_file), timesteps=7).total == 7


def test_with_credit_rewards_are_not_normalised_above_the_wrapper(zoo_file) -> None:
    model = build_agent(AgentConfig("CartPole-v1", algo_file=zoo_file))
    normalised = model.get_vec_normalize_env()
    assert normalised is not None
    assert not normalised.norm_reward


def test_arguments_of_the_command_line_win_over_the_file(zoo_file) -> None:
    config = AgentConfig("CartPole-v1", algo_file=zoo_file, algo_kwargs=("gamma=0.5",), credit=Credit.NONE)
    assert build_agent(config).gamma == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Other-v0: {gamma: 1}", r"has no entry for CartPole-v1 \(it has Other-v0\)"),
        ("CartPole-v1: [", "is no YAML"),
        ("- 1", r"has no entry .*it has no table"),
        ("CartPole-v1: {env_wrapper: x.Y}", "env_wrapper, which the command does not take"),
        ("CartPole-v1: {learning_rate: lin_fast}", "learning_rate is 'fast'"),
        ("CartPole-v1: {policy_kwargs: 'dict(a=__import__(1))'}", "policy_kwargs is"),
        ("CartPole-v1: {policy_kwargs: 'dict(a=nn.NoSuchLayer)'}", "torch.nn has no NoSuchLayer"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_sentence(text, message, tmp_path) -> None:
    path = tmp_path / "file.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        read_zoo_file(path, "CartPole-v1")
    assert "\n" not in str(refused.value)


def test_what_has_an_option_of_its_own_is_no_hyperparameter() -> None:
    with pytest.raises(ValueError, match="takes no hyperparameter 'seed'"):
        check_arguments(PPO, {"seed": 1})


def test_text_is_as_good_as_a_member_where_a_credit_is_named() -> None:
    """A bare "none" once trained with credit, since it was compared by identity."""
    from rudder_lrp.sb3 import RedistributedRewardVecEnv

    assert AgentConfig(credit="none").credit is Credit.NONE
    env = build_agent(AgentConfig("CartPole-v1", credit="none", n_envs=1)).get_env()
    assert not isinstance(env, RedistributedRewardVecEnv)
    with pytest.raises(ValueError, match="magic"):
        AgentConfig(credit="magic")
