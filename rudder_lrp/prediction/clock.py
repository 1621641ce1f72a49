"""Which step of the episode it is, as the predictor sees it."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MOST_FREQUENCIES = 64  # float32 tells no steps apart that far out


class Clock(nn.Module):
    """Sines and cosines of the step at geometric frequencies (Vaswani et al. 2017, section 3.5).

    The shortest period is four steps, each further one twice as long. An LSTM can count only as far as it has learnt
    to; where the credit depends on the step alone, a clock makes the difference between a few lessons and thousands.

    Args:
        frequencies: number K of them; the longest period is `2 ** (K + 1)` steps.

    Raises:
        ValueError: if there are fewer than none of them, or too many.
    """

    rates: Tensor

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        if not 0 <= frequencies <= MOST_FREQUENCIES:
            raise ValueError(f"a clock has 0 to {MOST_FREQUENCIES} frequencies, got {frequencies}; 10 see 2,048 steps")
        periods = 2.0 ** torch.arange(2, 2 + frequencies)
        self.register_buffer("rates", 2.0 * math.pi / periods, persistent=False)
        self._own_rates = self.rates.numpy()

    @property
    def out_features(self) -> int:
        """Number 2 K of inputs."""
        return 2 * len(self.rates)

    def forward(self, steps: Tensor) -> Tensor:
        """Read the clock at steps `[...]`, counted from 0: `[..., 2 K]`."""
        angles = steps[..., None] * self.rates
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def read(self, steps: NDArray[np.int64]) -> NDArray[np.float32]:
        """The same for the few steps `[N]` of running episodes, in NumPy."""
        angles = steps[:, None].astype(np.float32) * self._own_rates
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
