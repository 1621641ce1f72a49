"""Causal contributions while the episodes run: the reward side of a vectorised environment."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rudder_lrp.episodes.features import Features
from rudder_lrp.prediction.predictor import ReturnPredictor


class ContributionStream:
    """Follows N running episodes and says what each new step changed in the predicted return.

    That is the difference of predictions, and on the accumulator LRP as well. Before the first step nothing is
    predicted, so the first contribution holds all that is expected of the episode.

    Args:
        predictor: whose predictions are followed.
        n_envs: number N of parallel episodes.
    """

    def __init__(self, predictor: ReturnPredictor, n_envs: int) -> None:
        self.predictor = predictor
        self._state = predictor.initial_state(n_envs)
        self._returns = predictor.readout.bias.new_zeros(n_envs)

    @torch.no_grad()
    def step(self, features: Features) -> NDArray[np.float64]:
        """Contributions `[N]` of one more step with features `[N, F]`, in return units."""
        predictions, self._state = self.predictor.step(torch.from_numpy(features), self._state)
        returns = self.predictor.in_return_units(predictions)
        contributions = returns - self._returns
        self._returns = returns
        return contributions.double().numpy()

    @property
    def predicted_returns(self) -> NDArray[np.float64]:
        """Predicted returns of the running episodes after their latest step, `[N]`."""
        return self._returns.double().numpy()

    def restart(self, finished: NDArray[np.bool_]) -> None:
        """Begin new episodes where the mask `[N]` says so."""
        ended = torch.from_numpy(finished)
        h, c = self._state
        self._state = (h.masked_fill(ended[:, None], 0.0), c.masked_fill(ended[:, None], 0.0))
        self._returns = self._returns.masked_fill(ended, 0.0)

    @torch.no_grad()
    def replay(self, features: Features, lengths: NDArray[np.int64]) -> None:
        """Catch up after the predictor changed: run it over the episodes so far.

        Args:
            features: of the running episodes, padded on the right, `[N, T, F]`.
            lengths: how many steps of each there are, `[N]`; zero for an episode that has not begun.
        """
        self.restart(np.ones(len(lengths), dtype=bool))
        h, c = (part.clone() for part in self._state)
        returns = self._returns.clone()
        for index in np.flatnonzero(lengths).tolist():
            so_far = torch.from_numpy(features[index, : lengths[index]])[None]
            returns[index], (h[index], c[index]) = self._run(so_far)
        self._state, self._returns = (h, c), returns

    def _run(self, features: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        inputs = self.predictor.inputs(features)
        _, (h, c) = self.predictor.lstm(inputs)
        return self.predictor.in_return_units(self.predictor.read(h[0], c[0]))[0], (h[0, 0], c[0, 0])
