from __future__ import annotations

from itertools import pairwise

import numpy as np

from studies.proving_ground.curves import POINTS, at_common_points, evenly, thinned


def test_of_a_long_curve_few_points_are_kept_its_ends_among_them() -> None:
    curve = [(at, float(at % 7)) for at in range(100)]
    kept = evenly(curve)
    assert len(kept) == POINTS
    assert [kept[0], kept[-1]] == [curve[0], curve[-1]]
    assert {later[0] - earlier[0] for earlier, later in pairwise(kept)} <= {6, 7}
    assert evenly(curve[:5]) == curve[:5]


def test_what_lies_on_a_level_is_left_out_and_found_again() -> None:
    curve = [(0, 1.0), (1, 1.0), (2, 1.0), (3, 5.0), (4, 5.0), (5, 5.0)]
    kept = thinned(curve)
    assert kept == [[0, 1], [2, 1], [3, 5], [5, 5]]
    x, heights = at_common_points([kept, curve])
    assert x.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(*heights)


def test_heights_have_four_digits() -> None:
    assert thinned([(1, 1234.56), (2, 0.123456)]) == [[1, 1235], [2, 0.1235]]


def test_a_run_without_a_curve_has_none() -> None:
    assert thinned(evenly([])) == []
