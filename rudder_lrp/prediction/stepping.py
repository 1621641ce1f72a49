"""What is predicted of episodes that still run, one step at a time."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from rudder_lrp.episodes.features import Features
from rudder_lrp.lstm import Gate, gate_rows
from rudder_lrp.prediction.predictor import ReturnPredictor

Returns = NDArray[np.float64]


class _Weights:
    """All that a step of a predictor takes, copied out of PyTorch."""

    def __init__(self, predictor: ReturnPredictor) -> None:
        head = cast(nn.Linear, predictor.heads[predictor.reads])
        self._sources = [*predictor.parameters(), *predictor.buffers()]
        self._versions = self._read_versions()
        W, U, b, second_b = (_array(weight) for weight in predictor.lstm.all_weights[0])
        # A sigmoid is a hyperbolic tangent of half of it, moved and scaled: so one call does for all gates.
        half = np.full(len(W), 0.5, dtype=np.float32)
        half[gate_rows(len(W) // 4)[Gate.G]] = 1.0
        self.of_inputs, self.of_states = torch.from_numpy(W.T * half), torch.from_numpy(U.T * half)
        self.bias = torch.from_numpy((b + second_b) * half)
        self.of_head, self.bias_of_head = _array(head.weight).T, _array(head.bias)
        self.mean, self.scale = float(predictor.return_mean), float(predictor.return_scale)
        self.normalise = predictor.normalizer.in_numpy()

    def _read_versions(self) -> list[int]:
        return [tensor._version for tensor in self._sources]

    @property
    def present(self) -> bool:
        """Whether nothing was written to the predictor since they were copied."""
        return self._read_versions() == self._versions


class RunningPredictions:
    """Follows N running episodes and says what each member predicts of their returns.

    In NumPy but for the products: for the few rows of one step, calling PyTorch's kernels takes longer than all else.
    Images alone go through the predictor's own encoder.

    Args:
        predictor: that is followed, as it is at each step.
        n_envs: number N of parallel episodes.
    """

    def __init__(self, predictor: ReturnPredictor, n_envs: int) -> None:
        self.predictor = predictor
        self.steps = np.zeros(n_envs, dtype=np.int64)
        """How many steps of each episode there were, `[N]`."""
        self._h = np.zeros((n_envs, predictor.lstm.hidden_size), dtype=np.float32)
        self._c = np.zeros_like(self._h)
        self._copied = _Weights(predictor)

    @property
    def _weights(self) -> _Weights:
        if not self._copied.present:
            self._copied = _Weights(self.predictor)
        return self._copied

    def step(self, features: Features) -> Returns:
        """Take in features `[N, F]` of one more step; the returns that the members predict, `[N, K]`."""
        weights = self._weights
        inputs = self._inputs(weights.normalise(features))
        z = torch.addmm(weights.bias, torch.from_numpy(inputs), weights.of_inputs)
        if self.predictor.structure.recurrent:
            z.addmm_(torch.from_numpy(self._h), weights.of_states)
        opened = np.tanh(z.numpy())
        i, f, g, o = (opened[:, rows] for rows in gate_rows(self._h.shape[1]))
        self._c = (0.5 + 0.5 * f) * self._c + (0.5 + 0.5 * i) * g
        self._h = (0.5 + 0.5 * o) * np.tanh(self._c)
        self.steps += 1
        return self._read(weights)

    @property
    def outset(self) -> Returns:
        """What each member predicts before the first step, `[K]`."""
        weights = self._weights
        return weights.mean + weights.scale * weights.bias_of_head.astype(np.float64)

    def restart(self, where: NDArray[np.bool_]) -> None:
        """Begin new episodes where the mask `[N]` says so."""
        self.steps[where] = 0
        self._h[where] = 0.0
        self._c[where] = 0.0

    @torch.no_grad()
    def replay(self, features: Features, lengths: NDArray[np.int64]) -> Returns:
        """Catch up after the weights changed: run over the episodes so far.

        Args:
            features: of the running episodes, padded on the right, `[N, T, F]`.
            lengths: how many steps of each there are, `[N]`; zero for an episode that has not begun.

        Returns:
            The returns that the members predict now, `[N, K]`.
        """
        self._copied = _Weights(self.predictor)
        self.restart(np.ones(len(lengths), dtype=bool))
        self.steps[:] = lengths
        begun = np.flatnonzero(lengths)
        if len(begun):
            so_far = torch.from_numpy(features[begun, : lengths.max()])
            packed = pack_padded_sequence(
                self.predictor.inputs(so_far), torch.from_numpy(lengths[begun]), batch_first=True, enforce_sorted=False
            )
            _, (h, c) = self.predictor.lstm(packed)
            self._h[begun], self._c[begun] = _array(h[0]), _array(c[0])
        return np.where((lengths > 0)[:, None], self._read(self._weights), self.outset)

    def _read(self, weights: _Weights) -> Returns:
        states = self._c if self.predictor.structure.reads_cell else self._h
        predictions = states @ weights.of_head + weights.bias_of_head
        return weights.mean + weights.scale * predictions.astype(np.float64)

    def _inputs(self, normalised: Features) -> Features:
        encoded = normalised
        if len(self.predictor.encoder.images):
            with torch.no_grad():
                encoded = _array(self.predictor.encoder(torch.from_numpy(normalised).to(self.predictor.device)))
        return np.concatenate([encoded, self.predictor.clock.read(self.steps)], axis=1)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return cast(NDArray[np.float32], tensor.detach().cpu().numpy().copy())
