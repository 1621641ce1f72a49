from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudder_lrp.viewing.statistics import (
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
)

numbers = st.floats(-100, 100, allow_nan=False)


@given(st.lists(numbers, min_size=1, max_size=5))
def test_the_interquartile_mean_is_the_mean_of_the_middle_half(values: list[float]) -> None:
    repeated = np.sort(np.repeat(values, 4))  # each value as four quarters, so that the middle half is whole
    middle = repeated[len(values) : 3 * len(values)]
    assert interquartile_mean([np.array(values)]) == pytest.approx(middle.mean(), abs=1e-9)


def test_an_outlier_does_not_move_the_interquartile_mean() -> None:
    assert interquartile_mean([np.array([1.0, 1.0, 1.0, 1e9])]) == 1.0


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(30):
        interval = stratified_bootstrap(
            interquartile_mean, [rng.normal(size=20), rng.normal(size=20)], resamples=200, seed=1
        )
        covered += interval.low <= 0.0 <= interval.high
    assert 25 <= covered <= 30


def test_the_bootstrap_draws_within_each_task() -> None:
    apart = [np.zeros(5), np.full(5, 10.0)]
    interval = stratified_bootstrap(interquartile_mean, apart, resamples=100)
    assert interval == (5.0, 5.0, 5.0)


def test_the_probability_of_improvement_counts_ties_half() -> None:
    assert probability_of_improvement(np.array([2.0, 3.0]), np.array([1.0])) == 1.0
    assert probability_of_improvement(np.array([1.0]), np.array([1.0, 0.0, 2.0])) == 0.5
    infinite = np.array([-np.inf, -5.0])
    assert probability_of_improvement(infinite, infinite) == 0.5
