"""Every step earns the same: guidance rewards without any model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.lrp.sequences import valid_steps
from rudder_lrp.redistribution.base import Redistributor, Rewards


class UniformRedistributor(Redistributor):
    """`r_t = G / T` (IRCR, Gangwani et al. 2020): the rival that does not use the predictor it has."""

    @property
    def causal(self) -> bool:
        """Never: the return and the length are known at the end."""
        return False

    def contributions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """The predicted return, as far as it is not what was expected anyway, shared out evenly, `[B, T]`."""
        predicted = self.differences(features, lengths).sum(dim=1, keepdim=True)
        shares: Tensor = predicted / lengths[:, None]
        return shares * valid_steps(lengths, features.shape[1])

    def _redistribute_batch(self, lessons: Sequence[Lesson]) -> tuple[list[Rewards], list[Rewards]]:
        shares = [np.full(len(lesson), lesson.episode_return / len(lesson)) for lesson in lessons]
        return shares, [np.zeros(len(lesson)) for lesson in lessons]
