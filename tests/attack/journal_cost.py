"""What the journal costs: processor time of its appends as a share of a run's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from rudder_lrp.persistence.journal import LessonJournal
from rudder_lrp.sb3 import RedistributedRewardVecEnv, RedistributionCallback


def run(folder: Path, n_envs: int, steps: int) -> dict[str, Any]:
    """A run of PPO on CartPole with a journal, whose appends are timed one by one."""
    spent: list[float] = []
    append = LessonJournal.append

    def timed(journal: LessonJournal, lesson: Any) -> None:
        began = time.process_time()
        append(journal, lesson)
        spent.append(time.process_time() - began)

    env = RedistributedRewardVecEnv(make_vec_env("CartPole-v1", n_envs=n_envs, seed=0))
    model = PPO("MlpPolicy", env, n_steps=max(steps // n_envs // 4, 8), batch_size=512, device="cpu", seed=0)
    LessonJournal.append = timed
    try:
        began = time.process_time()
        model.learn(steps, callback=RedistributionCallback(folder, pictures_every=10**9))
        total = time.process_time() - began
    finally:
        LessonJournal.append = append
    return {
        "environments": n_envs,
        "lessons": len(spent),
        "microseconds a lesson": round(1e6 * float(np.mean(spent)), 1),
        "share of the run": round(sum(spent) / total, 5),
    }


def measure(folder: Path) -> list[dict[str, Any]]:
    """With 8 and with 1,024 environments."""
    return [run(folder / f"journal_{n}", n, steps) for n, steps in ((8, 20_000), (1024, 60_000))]
