from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from rudder_lrp.cli.algorithms import policy_for


@pytest.mark.parametrize(("side", "policy"), [(35, "MlpPolicy"), (36, "CnnPolicy")])
def test_an_image_too_small_for_the_convolutions_is_flattened(side, policy) -> None:
    space = spaces.Box(0, 255, (side, 84, 3), np.uint8)
    chosen = policy_for("PPO", space)
    assert chosen == policy
    env = DummyVecEnv([lambda: FakeImageEnv(action_dim=2, screen_height=side, screen_width=84, n_channels=3)])
    assert PPO(chosen, env).predict(env.observation_space.sample()[None])[0].shape == (1,)
