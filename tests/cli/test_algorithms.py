from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from rudder_lrp.cli.algorithms import episodic_buffer, learns_from_replay, policy_for


@pytest.mark.parametrize(("side", "policy"), [(35, "MlpPolicy"), (36, "CnnPolicy")])
def test_an_image_too_small_for_the_convolutions_is_flattened(side, policy) -> None:
    space = spaces.Box(0, 255, (side, 84, 3), np.uint8)
    chosen = policy_for("PPO", space)
    assert chosen == policy
    env = DummyVecEnv([lambda: FakeImageEnv(action_dim=2, screen_height=side, screen_width=84, n_channels=3)])
    assert PPO(chosen, env).predict(env.observation_space.sample()[None])[0].shape == (1,)


@pytest.mark.parametrize(
    ("name", "of_dictionaries", "buffer"),
    [
        ("SAC", False, "RedistributedReplayBuffer"),
        ("SAC", True, "RedistributedDictReplayBuffer"),
        ("PPO", False, "RedistributedRolloutBuffer"),
        ("A2C", True, "RedistributedDictRolloutBuffer"),
        ("MaskablePPO", False, "RedistributedMaskableRolloutBuffer"),
        ("MaskablePPO", True, "RedistributedMaskableDictRolloutBuffer"),
        ("RecurrentPPO", False, None),
    ],
)
def test_whole_episodes_are_redistributed_in_a_buffer_that_suits_the_algorithm(name, of_dictionaries, buffer) -> None:
    box = spaces.Box(0.0, 1.0, (2,), np.float32)
    arguments: dict = {}
    episodic_buffer(name, spaces.Dict({"seen": box}) if of_dictionaries else box, "credit", arguments)
    kind = "replay" if learns_from_replay(name) else "rollout"
    found = arguments.get(f"{kind}_buffer_class")
    assert (found and found.__name__) == buffer
    assert arguments.get(f"{kind}_buffer_kwargs") == (buffer and {"credit": "credit"})


def test_returns_of_several_steps_have_a_buffer_of_their_own() -> None:
    arguments = {"n_steps": 3}
    episodic_buffer("DQN", spaces.Box(0.0, 1.0, (2,), np.float32), "credit", arguments)
    assert arguments["replay_buffer_class"].__name__ == "RedistributedNStepReplayBuffer"
