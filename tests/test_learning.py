from __future__ import annotations

import pytest

from tests.learning import CLAIMS


@pytest.mark.parametrize("name", CLAIMS)
def test_what_is_learnt_is_above_its_bound_in_the_median_of_three_seeds(name) -> None:
    assert CLAIMS[name].median() > CLAIMS[name].bound
