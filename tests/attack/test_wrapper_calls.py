"""Calls of a wrapper in any order: whatever is called, what was played is what is learnt, and every sum is right."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rudder_lrp.persistence.run_folder import RunFolder, restore
from rudder_lrp.sb3 import RedistributedRewardVecEnv
from tests.sb3.play import QUICK, vec_env

N_ENVS = 2


def build(seed: int = 0) -> RedistributedRewardVecEnv:
    config = {"training": QUICK, "train_every": 12, "min_lessons": 4, "growth": 1.0, "hidden_size": 4}
    return RedistributedRewardVecEnv(vec_env(N_ENVS, longest=4), seed=seed, **config)


class WrapperCalls(RuleBasedStateMachine):
    """Steps, resets, evaluations, checkpoints and resumes; keeps books of its own."""

    @initialize(seed=st.integers(0, 50))
    def begin(self, seed: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.env = build(seed)
        self.run = RunFolder(self.folder, self.env.online)
        self.run.checkpoint()
        self.env.reset()
        self.known: list[float] = []
        self._begin()

    def _begin(self) -> None:
        self.paid, self.handed = np.zeros(N_ENVS), np.zeros(N_ENVS)
        self.whole = np.full(N_ENVS, self.env.training)

    @rule(steps=st.integers(1, 8), action=st.integers(0, 1))
    def step(self, steps: int, action: int) -> None:
        for _ in range(steps):
            _, rewards, dones, infos = self.env.step(np.full(N_ENVS, action))
            true = np.array([info["true_reward"] for info in infos])
            self.paid, self.handed = self.paid + true, self.handed + rewards
            np.testing.assert_allclose(self.handed[dones], self.paid[dones], atol=1e-4)
            if not self.env.training:
                np.testing.assert_array_equal(rewards, true.astype(np.float32))
            for index in np.flatnonzero(dones & self.whole & self.env.training):
                self.known.append(self.paid[index])
            self.paid[dones] = self.handed[dones] = 0.0
            self.whole[dones] = self.env.training

    @rule()
    def reset(self) -> None:
        self.env.reset()
        self._begin()

    @rule(seed=st.integers(0, 9))
    def seed(self, seed: int) -> None:
        self.env.seed(seed)

    @rule(on=st.booleans())
    def evaluate(self, on: bool) -> None:
        if on != self.env.training:
            self.env.training = on
            self.whole[:] = False
            self.handed[:] = self.paid  # what was owed is forgotten with the episode

    @rule()
    def checkpoint(self) -> None:
        self.run.checkpoint()

    @precondition(lambda self: self.known)
    @rule(seed=st.integers(0, 50))
    def resume(self, seed: int) -> None:
        self.run.close()
        self.env = build(seed)
        restore(self.folder, self.env.online)
        self.run = RunFolder(self.folder, self.env.online)
        self.run.checkpoint()
        self.env.reset()
        self._begin()

    @invariant()
    def what_was_played_is_known(self) -> None:
        lessons = self.env.online.lessons
        found = [lesson.episode_return for lesson in (*lessons.training, *lessons.held_out)]
        np.testing.assert_allclose(sorted(found), sorted(self.known), atol=1e-4)

    def teardown(self) -> None:
        if hasattr(self, "run"):
            self.run.close()
            shutil.rmtree(self.folder)


TestWrapperCalls = WrapperCalls.TestCase
TestWrapperCalls.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
