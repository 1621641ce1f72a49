from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray.rllib", reason='needs Ray: pip install "rudder-lrp[rllib]"')

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.bc import BCConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig
from ray.rllib.callbacks.callbacks import RLlibCallback

from rudder_lrp import ON_POLICY, REPLAYED
from rudder_lrp.rllib import with_credit
from rudder_lrp.rllib.sampling import CreditOfSamples
from rudder_lrp.rllib.settings import CreditSettings
from tests.conftest import SPACES
from tests.rllib.play import QUICK


@pytest.mark.parametrize("config", [PPOConfig(), APPOConfig(), IMPALAConfig(), SACConfig()], ids=lambda c: type(c))
def test_a_copy_of_the_config_gets_credit_and_the_config_stays_as_it_was(config) -> None:
    before = config.to_dict()
    changed = with_credit(config, hidden_size=8)
    assert type(changed) is type(config)
    assert changed.credit.credit == (REPLAYED if "SAC" in type(config).__name__ else ON_POLICY).changed(
        {"hidden_size": 8}
    )
    assert config.to_dict() == before
    assert not hasattr(config, "credit")


def test_callbacks_of_the_user_stay() -> None:
    class Own(RLlibCallback):
        pass

    assert with_credit(PPOConfig().callbacks(Own)).callbacks_class == [Own, CreditOfSamples]


def test_what_learns_from_no_episodes_is_refused_with_what_does() -> None:
    with pytest.raises(ValueError, match=r"BC does not learn from episodes .* use one of them"):
        with_credit(BCConfig())
    with pytest.raises(ValueError, match="AlgorithmConfig does not learn from episodes"):
        with_credit(AlgorithmConfig())


def test_the_old_api_stack_is_refused_with_the_call_that_changes_it() -> None:
    old = PPOConfig().api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
    with pytest.raises(ValueError, match=r"config of PPO uses RLlib's old API stack.*config.api_stack"):
        with_credit(old)


def test_several_agents_credit_twice_and_unknown_buffers_and_options_are_refused() -> None:
    several = PPOConfig().multi_agent(policies={"one", "two"}, policy_mapping_fn=lambda agent, *_, **__: agent)
    with pytest.raises(ValueError, match="several agents"):
        with_credit(several)
    with pytest.raises(ValueError, match="has credit already"):
        with_credit(with_credit(PPOConfig()))
    buffer = {"type": "MultiAgentEpisodeReplayBuffer"}
    with pytest.raises(ValueError, match="'MultiAgentEpisodeReplayBuffer' of SAC does not know whole episodes"):
        with_credit(SACConfig().training(replay_buffer_config=buffer))
    with pytest.raises(TypeError, match="no option 'cells'; there are"):
        with_credit(PPOConfig(), cells=8)


def test_a_predictor_of_stable_baselines3_is_the_same_file(tmp_path: Path) -> None:
    from stable_baselines3.common.env_util import make_vec_env

    from rudder_lrp.sb3 import RedistributedRewardVecEnv
    from tests.conftest import RandomLengths

    env = RedistributedRewardVecEnv(make_vec_env(RandomLengths), QUICK, seed=5)
    path = env.predictor.save(tmp_path / "predictor.safetensors")
    settings = with_credit(PPOConfig(), predictor=path).credit
    assert isinstance(settings, CreditSettings)
    loaded = settings.online(SPACES).predictor.state_dict()
    assert all((loaded[name] == value).all() for name, value in env.predictor.state_dict().items())
    with pytest.raises(ValueError, match="would not change the predictor that is given"):
        with_credit(PPOConfig(), predictor=path, hidden_size=8)
