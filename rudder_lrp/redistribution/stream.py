"""Causal contributions while the episodes run: the reward side of a vectorised environment."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rudder_lrp.episodes.features import Features
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution.uncertainty import shrunk, spread


class ContributionStream:
    """Follows N running episodes and says what each new step changed in the predicted return.

    What the predictor's members do not agree on is withheld, see `rudder_lrp.redistribution.uncertainty`. The first
    contribution holds, besides, all that was expected of the episode before.

    Args:
        predictor: whose predictions are followed.
        n_envs: number N of parallel episodes.
    """

    def __init__(self, predictor: ReturnPredictor, n_envs: int) -> None:
        self.predictor = predictor
        self._state = predictor.initial_state(n_envs)
        self._steps = torch.zeros(n_envs, dtype=torch.int64)
        self._returns = self._expected().expand(n_envs, -1)

    @torch.no_grad()
    def step(self, features: Features) -> NDArray[np.float64]:
        """Contributions `[N]` of one more step with features `[N, F]`, in return units."""
        predictions, self._state = self.predictor.step(torch.from_numpy(features), self._state, self._steps)
        returns = self.predictor.in_return_units(predictions)
        changes = returns - self._returns
        contributions = shrunk(changes.mean(dim=1), spread(changes))
        contributions += torch.where(self._steps == 0, self.predictor.expected_return, 0.0)
        self._steps, self._returns = self._steps + 1, returns
        return contributions.numpy()

    def _expected(self) -> Tensor:
        """What each member predicts before the first step, `[K]`."""
        bias = cast(Tensor, self.predictor.heads[self.predictor.reads].bias)
        return self.predictor.in_return_units(bias.detach())

    @property
    def predicted_returns(self) -> NDArray[np.float64]:
        """Predicted returns of the running episodes after their latest step, `[N]`."""
        return self._returns.mean(dim=1).numpy()

    def restart(self, finished: NDArray[np.bool_]) -> None:
        """Begin new episodes where the mask `[N]` says so."""
        ended = torch.from_numpy(finished)
        zeroed = ended[:, None].to(self.predictor.device)
        h, c = self._state
        self._state = (h.masked_fill(zeroed, 0.0), c.masked_fill(zeroed, 0.0))
        self._steps = self._steps.masked_fill(ended, 0)
        self._returns = torch.where(ended[:, None], self._expected(), self._returns)

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
        self._state, self._steps, self._returns = (h, c), torch.from_numpy(lengths), returns

    def _run(self, features: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        _, (h, c) = self.predictor.lstm(self.predictor.inputs(features))
        return self.predictor.in_return_units(self.predictor.read(h[0], c[0]))[0], (h[0, 0], c[0, 0])
