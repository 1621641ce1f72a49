from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import pytest
import torch

from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.prediction.training import fit
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.wrappers import RedistributedReward
from tests.conftest import RandomLengths, make_episode


@contextmanager
def default_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


MODES: dict[str, Callable[[], AbstractContextManager]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64 by default": default_float64,
    "deterministic algorithms": deterministic,
    "another device by default": lambda: torch.device("meta"),
}


def play(mode: Callable[[], AbstractContextManager] = nullcontext, then: int = 0) -> tuple[list[float], list]:
    """Rewards handed out, and what an explanation of other episodes says after that."""
    with mode():
        training = TrainingConfig(updates=3, batch_size=4)
        env = RedistributedReward(RandomLengths(), train_every=60, min_lessons=4, training=training, growth=1.0)
        handed = step(env, 200)
        rng = np.random.default_rng(0)
        explained = LRPRedistributor(env.credit.online.predictor).redistribute([make_episode(rng, n) for n in (1, 7)])
    return handed + step(env, then), [rewards.tolist() for rewards in explained]


def step(env: RedistributedReward, steps: int) -> list[float]:
    env.reset(seed=3)
    handed = []
    for number in range(steps):
        _, reward, terminated, truncated, _ = env.step(number % 2)
        handed.append(float(reward))
        if terminated or truncated:
            env.reset()
    return handed


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_a_predictor_is_trained_and_asked_alike_in_every_mode(mode) -> None:
    assert play(mode) == play()


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_a_run_may_leave_the_mode_it_began_in(mode) -> None:
    assert play(mode, then=150)[0] == play(then=150)[0]


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_recorded_episodes_are_fitted_alike_in_every_mode(mode) -> None:
    from rudder_lrp import ReturnPredictor
    from tests.conftest import SPACES

    def fitted() -> float:
        rng = np.random.default_rng(1)
        episodes = [make_episode(rng, 5) for _ in range(20)]
        return fit(ReturnPredictor.for_spaces(*SPACES), episodes, TrainingConfig(updates=5)).explained_variance

    with mode():
        inside = fitted()
    assert inside == fitted()


def test_the_caller_s_modes_come_back_even_after_an_error() -> None:
    @plain_torch()
    def fail() -> None:
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32
        raise ZeroDivisionError

    with default_float64(), torch.no_grad():
        with pytest.raises(ZeroDivisionError):
            fail()
        assert torch.get_default_dtype() == torch.float64
        assert not torch.is_grad_enabled()
