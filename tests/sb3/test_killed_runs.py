from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from rudder_lrp.sb3 import (
    RedistributedRewardVecEnv,
    RedistributionCallback,
    resume,
)
from tests.sb3.play import agent, credit


class Witness(BaseCallback):
    """Writes down, after the callback before it, how many lessons have been finished."""

    def __init__(self, path: Path, env: RedistributedRewardVecEnv) -> None:
        super().__init__()
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        self.env = env

    def _on_step(self) -> bool:
        os.pwrite(self.descriptor, b"%012d" % self.env.online.lessons.seen, 0)
        return True


def train_until_killed(folder: Path) -> None:
    env = credit()
    checkpoint = resume(folder, env)
    model = agent(env) if checkpoint is None else PPO.load(checkpoint / "model", env=env, device="cpu")
    callbacks = [RedistributionCallback(folder, checkpoint_every=64), Witness(folder / "witness", env)]
    model.learn(10**9, reset_num_timesteps=checkpoint is None, callback=callbacks)


def witnessed(folder: Path) -> int:
    path = folder / "witness"
    return int(path.read_text() or 0) if path.is_file() else 0


def killed_runs(folder: Path, kills: int) -> None:
    rng = np.random.default_rng(0)
    reached, seen = [0], [0]
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            try:
                train_until_killed(folder)
            finally:
                os._exit(1)
        while witnessed(folder) <= seen[-1]:  # until the run has got going
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "the run ended by itself"
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 1.0))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "the run ended by itself"
        env = credit()
        checkpoint = resume(folder, env)
        assert checkpoint is not None
        reached.append(PPO.load(checkpoint / "model", env=env, device="cpu").num_timesteps)
        seen.append(env.online.lessons.seen)
        assert seen[-1] >= witnessed(folder) > seen[-2], "a finished lesson is lost"
    assert reached == sorted(reached)


def test_runs_killed_at_any_moment_resume(tmp_path) -> None:
    killed_runs(tmp_path, 3)


@pytest.mark.slow
def test_twenty_runs_killed_at_any_moment_resume(tmp_path) -> None:
    killed_runs(tmp_path, 20)
