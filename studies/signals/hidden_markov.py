"""The HMM / State task of time_interpret (Crabbé and van der Schaar 2021; Enguehard 2023): which feature counted.

Two hidden states; in each another one of three features decides the label of a step, so the true saliency is known.
Data, folds and metrics come from `tint`; the classifier and its training follow its published experiment: GRU(200),
BatchNorm, ReLU, Dropout, Linear, Adam 1e-4 with weight decay 1e-3, 50 epochs of batches of 32, each cut at a random
step whose label is predicted. An explanation of step t is that of the classifier run up to t, at its last input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Data:
    """Signals `[N, T, 3]`, labels `[N, T]` and, of the test signals, which features count, `[N, T, 3]`."""

    x: Tensor
    y: Tensor
    folds: list[Tensor]
    """Indices of the signals to train on, for each fold."""
    x_test: Tensor
    y_test: Tensor
    salient: Tensor


def load(folder: Path, seed: int = 42, folds: int = 5) -> Data:
    """Make the data by tint's generator, once, and read them.

    Raises:
        ImportError: naming the extra, if tint is not installed.
    """
    try:
        from tint.datasets import HMM
    except ImportError as error:
        raise ImportError('the benchmark comes with time_interpret: pip install "rudder-lrp[studies]"') from error
    np.random.seed(seed)
    chosen = []
    for fold in range(folds):
        hmm = HMM(n_folds=folds, fold=fold, seed=seed, data_dir=str(folder.resolve()))
        hmm.prepare_data()
        hmm.setup("fit")
        chosen.append(torch.tensor(hmm.train.indices))
    train, test = hmm.preprocess("train"), hmm.preprocess("test")
    return Data(train["x"], train["y"], chosen, test["x"], test["y"], hmm.true_saliency("test"))


class StateClassifier(nn.Module):
    """The published classifier: which label has the last step."""

    def __init__(self, cell: str = "GRU", hidden: int = 200) -> None:
        super().__init__()
        self.rnn = getattr(nn, cell)(3, hidden, batch_first=True)
        self.regressor = nn.Sequential(nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, 2))

    def forward(self, x: Tensor, *state: Tensor) -> Tensor:
        """Logits `[B, 2]` after signals `[B, T, 3]`, from an initial state `[B, H]` if there is one."""
        last = self.rnn(x, self._initial(state))[1]
        encoding = last[0] if isinstance(last, tuple) else last
        return self.regressor(encoding[0])

    def _initial(self, state: tuple[Tensor, ...]) -> Any:
        rows = tuple(part[None].contiguous() for part in state)
        return None if not rows else rows[0] if isinstance(self.rnn, nn.GRU) else rows


def train(data: Data, fold: int, cell: str, epochs: int = 50, seed: int = 0) -> StateClassifier:
    """Train on one fold."""
    torch.manual_seed(1000 * seed + fold)
    model = StateClassifier(cell)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-3)
    x, y = data.x[data.folds[fold]], data.y[data.folds[fold]]
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            t = int(torch.randint(x.shape[1], ()))
            loss = nn.functional.cross_entropy(model(x[batch, : t + 1]), y[batch, t])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@torch.no_grad()
def states_before(model: StateClassifier, x: Tensor) -> tuple[Tensor, ...]:
    """States of the recurrent layer before each step, `[B, T, H]` each."""
    state = tuple(
        x.new_zeros(1, len(x), model.rnn.hidden_size) for _ in range(1 if isinstance(model.rnn, nn.GRU) else 2)
    )
    rows = []
    for step in x.unbind(1):
        rows.append(torch.stack([part[0] for part in state]))
        after = model.rnn(step[:, None], state[0] if len(state) == 1 else state)[1]
        state = after if isinstance(after, tuple) else (after,)
    return tuple(torch.stack(rows, dim=2).unbind(0))


class LastStep(nn.Module):
    """The classifier at every step at once, with derivatives by the last input alone.

    `forward(x, target)` sums the outputs `target` `[B, T]` of all steps, each with the states before it held fixed. A
    gradient by `x_t` is then that of the classifier run up to t, and a method that integrates gradients on the way from
    a baseline finds for all steps at once what it would find for each of them at its last input.
    """

    def __init__(self, model: StateClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """`[B]` from signals `[B, T, 3]`."""
        before = states_before(self.model, x)
        logits = self.model(x.flatten(0, 1)[:, None], *(part.flatten(0, 1) for part in before))
        return logits.gather(1, target.flatten()[:, None]).view(len(x), -1).sum(1)


@torch.no_grad()
def predictions(model: StateClassifier, x: Tensor) -> Tensor:
    """Predicted label of each step, `[B, T]`."""
    before = states_before(model, x)
    logits = model(x.flatten(0, 1)[:, None], *(part.flatten(0, 1) for part in before))
    return logits.argmax(1).view(x.shape[:2])
