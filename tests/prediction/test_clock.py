from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.prediction.clock import Clock
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training import fit
from rudder_lrp.redistribution import ContributionStream, LRPRedistributor
from tests.conftest import SPACES


def test_the_clock_shows_sines_and_cosines_of_periods_that_double_from_four_steps_on() -> None:
    read = Clock(3)(torch.tensor([0, 1, 6]))
    for row, step in zip(read.tolist(), (0, 1, 6), strict=True):
        angles = [2 * math.pi * step / period for period in (4, 8, 16)]
        assert row == pytest.approx([*map(math.sin, angles), *map(math.cos, angles)], abs=1e-6)


def test_no_two_steps_within_the_longest_period_look_alike() -> None:
    read = Clock(8)(torch.arange(512))
    assert torch.cdist(read, read).fill_diagonal_(1.0).min() > 0.05


@pytest.mark.parametrize("frequencies", [-1, 65])
def test_a_clock_whose_predictor_could_not_be_loaded_again_is_refused(frequencies) -> None:
    with pytest.raises(ValueError, match="a clock has 0 to 64 frequencies"):
        ReturnPredictor.for_spaces(*SPACES, clock=frequencies)


def test_without_frequencies_there_is_no_clock() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, clock=0)
    features = torch.randn(1, 5, len(predictor.features))
    assert predictor.inputs(features).shape == features.shape
    assert predictor.input_names == predictor.features.names
    explained = LRPRedistributor(predictor).explain(features, torch.tensor([5]))
    assert explained.inputs.shape == features.shape


def test_the_clock_goes_on_where_an_episode_is_taken_up_again() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, members=1)
    predictor.rescale_(0.0, 100.0)
    rows = np.random.default_rng(0).normal(size=(9, 1, len(predictor.features))).astype(np.float32)
    followed, replayed, stopped = (ContributionStream(predictor, 1) for _ in range(3))
    for row in rows[:8]:
        followed.step(row)
    replayed.replay(rows[:8].swapaxes(0, 1), np.array([8]))
    stopped.replay(rows[:8].swapaxes(0, 1), np.array([8]))
    stopped._running.steps[:] = 0
    known = followed.step(rows[8])
    np.testing.assert_allclose(replayed.step(rows[8]), known, atol=1e-6)
    assert abs(stopped.step(rows[8]) - known) > 1e-3


def test_two_hundred_episodes_tell_which_step_it_was_that_earned() -> None:
    explained, earned = [], []
    for seed in range(3):
        rng, episodes = np.random.default_rng(seed), []
        for _ in range(200):
            actions, rewards = rng.integers(2, size=30), np.zeros(30)
            rewards[-1] = actions[3]
            episodes.append(Episode(rng.normal(size=(31, 3)).astype(np.float32), actions, rewards))
        predictor = ReturnPredictor.for_spaces(*SPACES, seed=seed)
        explained.append(fit(predictor, episodes).explained_variance)
        rewards = LRPRedistributor(predictor).redistribute(episodes)
        earned += [new[3] - new[:3].sum() for new, e in zip(rewards, episodes, strict=True) if e.rewards[-1]]
    assert np.median(explained) > 0.9
    assert np.mean(earned) > -0.15  # what was expected before, one half, is handed out first
