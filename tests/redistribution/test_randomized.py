from __future__ import annotations

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.prediction.training import TrainingConfig
from rudder_lrp.redistribution.randomized import RandomizedDecomposition, unbiased_error


def test_the_error_on_subsets_is_that_of_all_steps_on_average() -> None:
    rng = np.random.default_rng(0)
    rewards, target = rng.normal(size=7), 2.0
    estimates = [
        float(unbiased_error(torch.from_numpy(rng.permutation(rewards)[:3]), 7, target)) for _ in range(20_000)
    ]
    error = np.std(estimates) / len(estimates) ** 0.5
    assert abs(np.mean(estimates) - (target - rewards.sum()) ** 2) < 4 * error


def test_all_steps_at_once_give_the_plain_square() -> None:
    assert float(unbiased_error(torch.tensor([1.0, 2.0]), 2, 5.0)) == 4.0


def test_the_reward_is_found_on_the_steps_that_earn_it() -> None:
    rng, lessons = np.random.default_rng(0), LessonBuffer(seed=0)
    for _ in range(200):
        features = rng.integers(2, size=(30, 3)).astype(np.float32)
        rewards = np.zeros(30)
        rewards[-1] = features[:, 1].sum()
        lessons.add(Lesson(features, rewards))
    model = RandomizedDecomposition(TrainingConfig(updates=300, learning_rate=1e-2), seed=0, subset=10)
    model.train(lessons)
    assert model.explained_variance(lessons.held_out) > 0.8
    found = model.rewards(lessons.held_out[0])
    earning = lessons.held_out[0].features[:, 1] > 0
    assert found[earning].mean() - found[~earning].mean() == pytest.approx(1.0, abs=0.2)
