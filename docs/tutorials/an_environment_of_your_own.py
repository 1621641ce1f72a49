"""From nothing to a picture: an environment of your own, PPO with and without credit, and two curves.

python docs/tutorials/an_environment_of_your_own.py [FOLDER OF THE PICTURE]
"""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from rudder_lrp.cli.episodes import TrueReturns
from rudder_lrp.sb3 import RedistributedRewardVecEnv
from rudder_lrp.viewing.comparison import draw_curves

STEPS, SEEDS = 20_000, (0, 1, 2)
torch.set_num_threads(1)


class Switches(gym.Env):
    """A hundred switches, one after the other; each shows which of two ways is right; all are paid at the end."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        """Show the first switch."""
        super().reset(seed=seed)
        self.count, self.right, self.way = 0, 0, int(self.np_random.integers(2))
        return self._observation(), {}

    def step(self, action):
        """Set the switch, and show the next."""
        self.right += int(action == self.way)
        self.count += 1
        self.way = int(self.np_random.integers(2))
        over = self.count == 100
        return self._observation(), float(self.right) if over else 0.0, over, False, {}

    def _observation(self):
        return np.array([2.0 * self.way - 1.0, self.count / 100], dtype=np.float32)


def curve(seed: int, with_credit: bool) -> list[tuple[int, float]]:
    """Train once."""
    env = make_vec_env(Switches, n_envs=8, seed=seed)
    if with_credit:
        env = RedistributedRewardVecEnv(env, seed=seed)
    returns = TrueReturns()
    PPO("MlpPolicy", env, n_steps=256, batch_size=256, seed=seed, device="cpu").learn(STEPS, callback=returns)
    return returns.curve(STEPS)


curves = {
    arm: [curve(seed, with_credit) for seed in SEEDS]
    for arm, with_credit in (("with credit", True), ("without", False))
}
for arm, runs in curves.items():
    print(f"{arm}: {', '.join(f'{run[-1][1]:.1f}' for run in runs)} of 100 at the end")
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/figures")
draw_curves(curves, "a hundred switches, paid at the end", folder / "tutorial_environment.png")
