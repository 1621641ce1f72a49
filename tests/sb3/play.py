from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import (
    VecEnv,
)

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.prediction.quality import Quality
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.sb3 import (
    RedistributedRewardVecEnv,
)
from tests.conftest import RandomLengths

NEVER = 10**9  # environment steps between two rounds of training
QUICK = TrainingConfig(updates=2, batch_size=4)


def vec_env(n_envs: int = 2, seed: int = 0, longest: int = 12) -> VecEnv:
    return make_vec_env(lambda: RandomLengths(longest), n_envs=n_envs, seed=seed)


def trusted(env: VecEnv, q: float = 1.0, **options: Any) -> RedistributedRewardVecEnv:
    """A wrapper whose predictor is random, trusted and never trained, so that its credit can be recomputed later."""
    wrapped = RedistributedRewardVecEnv(env, **({"train_every": NEVER, "members": 1} | options))
    wrapped.predictor.rescale_(-2.0, 5.0)
    with torch.no_grad():
        for head in wrapped.predictor.heads.values():
            head.weight.mul_(50.0)  # so that credit is well above rounding
    wrapped.online.quality = Quality(q, 0.0, 0.0, slope=q)
    return wrapped


def cases(n_envs: int = 3, longest: int = 15, least_q: float = 0.2) -> dict[str, st.SearchStrategy[Any]]:
    """What `vec_env` and `trusted` take, drawn: up to so many environments and steps of an episode."""
    return {
        "n_envs": st.integers(1, n_envs),
        "longest": st.integers(1, longest),
        "seed": st.integers(0, 1000),
        "q": st.floats(least_q, 1.0),
    }


def actions(env: VecEnv, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(2, size=env.num_envs)


class Played:
    """Steps an environment and cuts what it says into episodes, on its own."""

    def __init__(self, env: VecEnv, steps: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.handed: list[np.ndarray] = []
        self.true: list[np.ndarray] = []
        self.episodes: list[Episode] = []
        rows: list[list[Any]] = [[] for _ in range(env.num_envs)]
        before = env.reset()
        for _ in range(steps):
            chosen = actions(env, rng)
            after, rewards, dones, infos = env.step(chosen)
            for k in range(env.num_envs):
                rows[k].append((before[k], chosen[k], rewards[k], infos[k]["true_reward"]))
                if dones[k]:
                    self._close(rows[k], infos[k])
                    rows[k] = []
            before = after

    def _close(self, rows: list[Any], info: dict[str, Any]) -> None:
        observations, chosen, handed, true = zip(*rows, strict=True)
        self.handed.append(np.array(handed, dtype=np.float64))
        self.true.append(np.array(true))
        observed = np.stack([*observations, info["terminal_observation"]])
        self.episodes.append(Episode(observed, np.array(chosen), np.array(true), info["TimeLimit.truncated"]))


def assert_same_sum(handed: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> None:
    for given, paid in zip(handed, true, strict=True):
        magnitude = np.abs(given).max() + np.abs(paid).max()
        assert abs(given.sum() - paid.sum()) <= 1e-6 * magnitude


class KeepRollouts(BaseCallback):
    """Copies what the rollout buffer holds when advantages have been computed."""

    def __init__(self) -> None:
        super().__init__()
        self.rewards: list[np.ndarray] = []
        self.true: list[np.ndarray] = []
        self.dones: list[np.ndarray] = []
        self.truncated: list[np.ndarray] = []

    def _on_rollout_start(self) -> None:
        self._steps: list[tuple[np.ndarray, ...]] = []

    def _on_step(self) -> bool:
        infos, dones = self.locals["infos"], self.locals["dones"]
        true = np.array([info["true_reward"] for info in infos])
        truncated = np.array([info["TimeLimit.truncated"] for info in infos])
        self._steps.append((true, dones.copy(), truncated))
        return True

    def _on_rollout_end(self) -> None:
        true, dones, truncated = (np.stack(part) for part in zip(*self._steps, strict=True))
        self.rewards.append(self.model.rollout_buffer.rewards.astype(np.float64))
        self.true.append(true)
        self.dones.append(dones)
        self.truncated.append(truncated)


class FixedReward(gym.Env[np.ndarray, int]):
    """Pays what it is told at each step, in episodes of a fixed length."""

    observation_space = RandomLengths.observation_space
    action_space = RandomLengths.action_space

    def __init__(self, rewards: list[float], length: int = 5) -> None:
        self.rewards, self.length, self.steps = rewards, length, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.at = 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = self.rewards[self.steps % len(self.rewards)]
        self.steps += 1
        self.at += 1
        return self._observation(), reward, self.at == self.length, False, {}

    def _observation(self) -> np.ndarray:
        return self.np_random.normal(size=3).astype(np.float32)


def credit(env: VecEnv | None = None, **options: Any) -> RedistributedRewardVecEnv:
    defaults = {"training": QUICK, "train_every": 32, "min_lessons": 4, "growth": 1.0}
    return RedistributedRewardVecEnv(env or vec_env(2), **(defaults | options))


def agent(env: VecEnv) -> PPO:
    policy = {"net_arch": [8]}
    return PPO("MlpPolicy", env, n_steps=16, batch_size=32, n_epochs=1, seed=0, device="cpu", policy_kwargs=policy)
