"""Which step of the episode it is, as the predictor sees it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Clock(nn.Module):
    """Sines and cosines of the step at geometric frequencies (Vaswani et al. 2017, section 3.5).

    The shortest period is four steps, each further one twice as long. An LSTM can count only as far as it has learnt
    to; where the credit depends on the step alone, a clock makes the difference between a few lessons and thousands.

    Args:
        frequencies: number K of them; the longest period is `2 ** (K + 1)` steps.
    """

    rates: Tensor

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        periods = 2.0 ** torch.arange(2, 2 + frequencies)
        self.register_buffer("rates", 2.0 * math.pi / periods, persistent=False)

    @property
    def out_features(self) -> int:
        """Number 2 K of inputs."""
        return 2 * len(self.rates)

    def forward(self, steps: Tensor) -> Tensor:
        """Read the clock at steps `[...]`, counted from 0: `[..., 2 K]`."""
        angles = steps[..., None] * self.rates
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
