from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training import Trainer, fit
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig, offline
from rudder_lrp.redistribution import LRPRedistributor
from tests.conftest import SPACES, make_episode


def _earned_at_step_three(seed: int, noise: float) -> float:
    """Of 1 that is paid at the end for an action at step 3, in the lessons themselves."""
    rng, episodes = np.random.default_rng(seed), []
    for _ in range(60):
        observations, actions, rewards = rng.normal(size=(9, 6)), rng.integers(4, size=8), np.zeros(8)
        rewards[-1] = actions[3] % 2
        episodes.append(Episode(observations, actions, rewards))
    predictor = ReturnPredictor.for_spaces(spaces.Box(-np.inf, np.inf, (6,)), spaces.Discrete(4), seed=seed)
    fit(predictor, episodes, replace(offline(len(episodes)), updates=200, noise=noise))
    earned = np.array([rewards[3] for rewards in LRPRedistributor(predictor).redistribute(episodes)])
    paid = np.array([episode.rewards[-1] > 0.0 for episode in episodes])
    return float(earned[paid].mean() - earned[~paid].mean())


def test_with_noise_lessons_are_not_known_by_their_first_steps() -> None:
    # Six seeds earn 0.20 to 0.50 with noise, and 0.05 to 0.17 without: there the first step tells a lesson from others.
    with_noise, without = ([_earned_at_step_three(seed, noise) for seed in range(3)] for noise in (0.6, 0.0))
    assert np.median(with_noise) > 2.0 * max(np.median(without), 0.05)


def test_what_holds_few_lessons_back_gives_way_to_what_many_say() -> None:
    few, enough, many = map(offline, (2, 200, 20_000))
    assert few == enough
    assert [enough.weight_decay / many.weight_decay, enough.noise**2 / many.noise**2] == pytest.approx([100.0, 100.0])
    assert [enough.updates, many.updates, offline(20_000, 30_000).updates] == [1000, 10_000, 30_000]


def test_lessons_that_are_all_there_is_are_learnt_from_as_suits_their_number(monkeypatch) -> None:
    rng, asked = np.random.default_rng(0), []
    monkeypatch.setattr(Trainer, "train", lambda trainer, _: asked.append(trainer.config))
    for count in (12, 300):
        fit(ReturnPredictor.for_spaces(*SPACES), [make_episode(rng, 3) for _ in range(count)])
    assert asked == [offline(12), offline(300)]


def test_noise_is_drawn_by_the_predictor_s_seed_alone() -> None:
    rng = np.random.default_rng(0)
    episodes, fitted = [make_episode(rng, 6) for _ in range(12)], []
    for _ in range(2):
        state = torch.get_rng_state()
        predictor = ReturnPredictor.for_spaces(*SPACES)
        fit(predictor, episodes, TrainingConfig(updates=3, noise=0.5))
        assert torch.equal(torch.get_rng_state(), state)
        fitted.append(torch.cat([weight.detach().flatten() for weight in predictor.parameters()]))
        torch.manual_seed(1)
    assert torch.equal(*fitted)


def test_noise_where_subsets_are_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise=0.5 would do nothing"):
        TrainingConfig(subset=8, predicts=Predicts.SHARE, noise=0.5)
