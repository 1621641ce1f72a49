"""Causal contributions while the episodes run: the reward side of a vectorised environment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rudder_lrp.episodes.features import Features
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.stepping import RunningPredictions
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
        self._running = RunningPredictions(predictor, n_envs)
        self._returns = np.tile(self._running.outset, (n_envs, 1))

    def step(self, features: Features) -> NDArray[np.float64]:
        """Contributions `[N]` of one more step with features `[N, F]`, in return units."""
        first = self._running.steps == 0
        returns = self._running.step(features)
        changes = returns - self._returns
        contributions: NDArray[np.float64] = shrunk(changes.mean(axis=1), spread(changes))
        if first.any():
            contributions[first] += self.predictor.expected_return
        self._returns = returns
        return contributions

    @property
    def predicted_returns(self) -> NDArray[np.float64]:
        """Predicted returns of the running episodes after their latest step, `[N]`."""
        returns: NDArray[np.float64] = self._returns.mean(axis=1)
        return returns

    def restart(self, finished: NDArray[np.bool_]) -> None:
        """Begin new episodes where the mask `[N]` says so."""
        self._running.restart(finished)
        self._returns[finished] = self._running.outset

    def replay(self, features: Features, lengths: NDArray[np.int64]) -> None:
        """Catch up after the predictor changed: run it over the episodes so far.

        Args:
            features: of the running episodes, padded on the right, `[N, T, F]`.
            lengths: how many steps of each there are, `[N]`; zero for an episode that has not begun.
        """
        self._returns = self._running.replay(features, lengths)
