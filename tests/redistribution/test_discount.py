from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rudder_lrp.redistribution.discount import check_discount, discounted_return, keep_discounted_return


@given(steps=st.integers(1, 60), gamma=st.floats(0.9, 1.0), seed=st.integers(0, 1000), late=st.booleans())
def test_the_discounted_return_stays_the_same(steps, gamma, seed, late) -> None:
    rng = np.random.default_rng(seed)
    original = np.zeros(steps) if late else rng.normal(size=steps)
    original[-1] = rng.normal() * 10
    credit = rng.normal(size=steps)
    credit[-1] += original.sum() - credit.sum()
    kept = keep_discounted_return(credit, original, gamma)
    naive = sum(gamma**t * reward for t, reward in enumerate(original))
    assert discounted_return(kept, gamma) == pytest.approx(naive, abs=1e-9)


def test_a_reward_paid_at_the_end_needs_no_correction_at_the_last_step() -> None:
    original, credit = np.array([0.0, 0.0, 0.0, 8.0]), np.array([1.0, 5.0, 0.0, 2.0])
    np.testing.assert_allclose(keep_discounted_return(credit, original, 0.5), [0.125, 1.25, 0.0, 2.0])


def test_what_came_in_time_stays_and_only_what_moved_is_discounted() -> None:
    original = np.zeros(120)
    original[20:110:9], original[-1] = 5.5, 10.0
    moved = original.copy()
    moved[-1], moved[7] = 0.0, 10.0
    kept = keep_discounted_return(moved, original, 0.99)
    np.testing.assert_array_equal(kept[20:110:9], 5.5)
    assert kept[7] == pytest.approx(10.0 * 0.99**112)
    assert kept[-1] == 0.0


def test_thousands_of_steps_are_discounted_to_nothing_and_never_divided_by() -> None:
    late = np.zeros(8000)
    late[-1] = 1.0
    early = late[::-1].copy()
    np.testing.assert_array_equal(keep_discounted_return(late, late, 0.9), late)
    assert np.isfinite(keep_discounted_return(early, late, 0.9)).all()


def test_without_discount_nothing_changes() -> None:
    credit = np.array([1.0, -2.0, 4.0])
    np.testing.assert_array_equal(keep_discounted_return(credit, np.array([0.0, 0.0, 3.0]), 1.0), credit)


@pytest.mark.parametrize("gamma", [0.0, -0.1, 1.01, float("nan")])
def test_what_is_no_discount_is_refused(gamma) -> None:
    with pytest.raises(ValueError, match=r"within \(0, 1\]"):
        check_discount(gamma)
