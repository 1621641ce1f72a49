from __future__ import annotations

import numpy as np
import torch

from rudder_lrp.redistribution.randomized import unbiased_error


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
