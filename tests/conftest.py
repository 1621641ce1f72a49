from __future__ import annotations

import signal
import tomllib
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import settings

from rudder_lrp.episodes.episode import Episode

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# A shell lets what it runs in the background ignore Ctrl-C, and so would the processes whose end by it is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

_NUMERICS = ("tests/lrp/", "tests/test_lstm.py")
_LONG_IN_THE_MAKING = {"built", "compared", "credited_runs", "program", "trained"}  # fixtures that a module shares


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of formulas are a tier of their own; `--cov` alone counts what the tests of the named rooms reach.

    What takes long to make is made once: the tests that share it run on one worker, with `--dist loadgroup`.
    """
    counted = _covered() if getattr(config.option, "cov_source", None) == [True] else ("",)
    for item in items:
        if item.nodeid.startswith(_NUMERICS):
            item.add_marker(pytest.mark.numerics)
        for shared in _LONG_IN_THE_MAKING & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(shared))
        if not item.nodeid.startswith(counted):
            item.add_marker(pytest.mark.no_cover)


def _covered() -> tuple[str, ...]:
    """Where the tests of the rooms are that `pyproject.toml` names; counting costs a third of a test's time."""
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    rooms = settings["tool"]["coverage"]["run"]["source"]
    return tuple(room.replace("rudder_lrp", "tests") + "/" for room in rooms)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class RandomLengths(gym.Env[np.ndarray, int]):
    """Episodes of random length, ended or cut off at random; any reward, also at every step."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, longest: int = 12) -> None:
        self.longest = longest

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, self.longest + 1))
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        reward = float(self.np_random.normal()) * 3 + action * 2
        cut = self.left == 0 and self.np_random.random() < 0.5
        return self._observation(), reward, self.left == 0 and not cut, cut, {}

    def _observation(self) -> np.ndarray:
        return self.np_random.normal(size=3).astype(np.float32)


@pytest.fixture
def random_env() -> Callable[[], gym.Env]:
    return RandomLengths


def make_episode(rng: np.random.Generator, steps: int, rewards: np.ndarray | None = None) -> Episode:
    """A random episode in the spaces of `RandomLengths`."""
    observations = rng.normal(size=(steps + 1, 3)).astype(np.float32)
    actions = rng.integers(2, size=steps)
    if rewards is None:
        rewards = np.zeros(steps)
        rewards[-1] = 2.0 * actions.sum() + observations[:, 0].sum()
    return Episode(observations, actions, rewards)


SPACES = (RandomLengths.observation_space, RandomLengths.action_space)
