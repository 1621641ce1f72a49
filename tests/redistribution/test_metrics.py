from __future__ import annotations

import numpy as np
import pytest

from rudder_lrp.redistribution.metrics import rank_correlation


def test_rank_correlation_sees_order_alone_and_shares_ties() -> None:
    rising = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(rising, np.exp(rising)) == pytest.approx(1.0)
    assert rank_correlation(rising, -(rising**3)) == pytest.approx(-1.0)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4, by hand.
    assert rank_correlation(np.array([0.0, 1.0, 1.0, 2.0]), rising) == pytest.approx(0.9486832980505138)
    assert np.isnan(rank_correlation(np.zeros(4), rising))
