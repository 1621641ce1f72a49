"""Kills training runs at random moments, half of them while the predictor trains, and counts what is lost.

A run plays episodes that end in rewards of their own. What has ended is written down below the wrapper, with the next
step or before the predictor trains: whatever is written there, the run that is resumed must know.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecEnvWrapper

from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.sb3 import RedistributedRewardVecEnv, RedistributionCallback, resume

N_ENVS = 4
ALGORITHMS = ("PPO", "SAC", "Subproc")


class UniqueReturns(gym.Env[np.ndarray, np.ndarray]):
    """Episodes of 3 to 12 steps; the last one pays what no other episode pays."""

    observation_space = spaces.Box(-9.0, 9.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(3, 13))
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        over = self.left == 0
        return self._observation(), float(self.np_random.normal()) if over else 0.0, over, False, {}

    def _observation(self) -> np.ndarray:
        return self.np_random.normal(size=2).astype(np.float32)


class Witness(VecEnvWrapper):
    """Below the credit: writes down the returns of the episodes that earlier steps ended."""

    def __init__(self, venv: VecEnv, folder: Path) -> None:
        super().__init__(venv)
        self.returns = os.open(folder / "returns", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.training = os.open(folder / "training", os.O_WRONLY | os.O_CREAT)
        self.new: list[float] = []

    def write_down(self, training: bool = False) -> None:
        os.pwrite(self.training, b"T" if training else b" ", 0)
        if self.new:
            os.write(self.returns, np.array(self.new).tobytes())
        self.new = []

    def reset(self) -> Any:
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        self.write_down()
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        self.new += [float(reward) for reward in rewards[dones]]
        return observations, rewards, dones, infos


def build(algorithm: str, folder: Path, seed: int) -> RedistributedRewardVecEnv:
    kind = SubprocVecEnv if algorithm == "Subproc" else DummyVecEnv
    options = {"start_method": "fork"} if algorithm == "Subproc" else {}
    plain = make_vec_env(UniqueReturns, n_envs=N_ENVS, seed=100 * seed, vec_env_cls=kind, vec_env_kwargs=options)
    training = TrainingConfig(updates=40, batch_size=32, kept=1.0)
    config = {"training": training, "train_every": 128, "min_lessons": 8, "lesson_capacity": 100_000, "growth": 1.0}
    env = RedistributedRewardVecEnv(Witness(plain, folder), **config)
    env.online.lessons.holdout_capacity = 100_000  # so that every lesson can be looked up
    return env


def new_model(algorithm: str, env: VecEnv) -> BaseAlgorithm:
    policy = {"net_arch": [8]}
    if algorithm == "SAC":
        return SAC("MlpPolicy", env, buffer_size=2000, learning_starts=100, batch_size=16, policy_kwargs=policy)
    return PPO("MlpPolicy", env, n_steps=16, batch_size=32, n_epochs=1, device="cpu", policy_kwargs=policy)


def load_model(algorithm: str, checkpoint: Path, env: VecEnv) -> BaseAlgorithm:
    return (SAC if algorithm == "SAC" else PPO).load(checkpoint / "model", env=env, device="cpu")


def train_until_killed(algorithm: str, folder: Path, seed: int) -> None:
    env = build(algorithm, folder, seed)
    checkpoint = resume(folder, env)
    model = new_model(algorithm, env) if checkpoint is None else load_model(algorithm, checkpoint, env)
    witness, train = env.venv, env.online.trainer.train

    def say_so(*arguments: Any) -> Any:
        witness.write_down(training=True)
        return train(*arguments)

    env.online.trainer.train = say_so
    callback = RedistributionCallback(folder, checkpoint_every=512, pictures_every=10**9)
    model.learn(10**9, reset_num_timesteps=checkpoint is None, callback=callback)


class Tally(Counter[str]):
    """Kills, kills in training, episodes ended, lost and doubled, resumes that failed."""


def kill_once(algorithm: str, folder: Path, seed: int, in_training: bool, tally: Tally) -> None:
    rng = np.random.default_rng(seed)
    returns, flag = folder / "returns", folder / "training"
    size = returns.stat().st_size if returns.is_file() else 0
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # with its workers, which outlive it where they hold each other's pipes
        try:
            train_until_killed(algorithm, folder, seed)
        finally:
            os._exit(1)
    while not returns.is_file() or returns.stat().st_size <= size or (in_training and flag.read_bytes() != b"T"):
        ended = os.waitpid(child, os.WNOHANG)
        if ended != (0, 0):
            raise RuntimeError(f"the run ended by itself, status {ended[1]}")
        time.sleep(0.0005)
    time.sleep(rng.uniform(0.0, 0.03 if in_training else 0.6))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    tally["kills"] += 1
    tally["kills in training"] += flag.read_bytes() == b"T"
    compare(algorithm, folder, seed, tally)


def compare(algorithm: str, folder: Path, seed: int, tally: Tally) -> None:
    """Resume, and hold what is known then against what was witnessed."""
    env = build("PPO", folder, seed)
    try:
        checkpoint = resume(folder, env)
        assert checkpoint is not None
        load_model(algorithm, checkpoint, env)
    except Exception as error:
        tally[f"failed: {type(error).__name__} {error}"] += 1
        return
    lessons = env.online.lessons
    known = Counter(lesson.episode_return for lesson in (*lessons.training, *lessons.held_out))
    witnessed = Counter(np.fromfile(folder / "returns").tolist())
    tally["resumes"] += 1
    tally["doubled"] += known.total() - len(known)
    tally["lost"] += (witnessed - known).total()
    tally["ended"] = witnessed.total()


def attack(folder: Path, count: int, seed: int = 0) -> dict[str, dict[str, int]]:
    """Kill each algorithm's run `count / 3` times, every other time while it trains."""
    found: dict[str, dict[str, int]] = {}
    for at, algorithm in enumerate(ALGORITHMS):
        place, tally = folder / algorithm, Tally()
        place.mkdir(parents=True)
        for number in range(count * (at + 1) // 3 - count * at // 3):
            kill_once(algorithm, place, seed + 1000 * at + number, number % 2 == 1, tally)
        found[algorithm] = dict(tally)
    return found
