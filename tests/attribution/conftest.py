from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn


class Model(NamedTuple):
    lstm: nn.LSTM
    readout: nn.Linear
    inputs: Tensor
    lengths: Tensor

    def outputs(self, inputs: Tensor) -> Tensor:
        """Outputs `[B, C]` one sequence at a time, by the plain modules, without padding."""
        outputs = []
        directions = 2 if self.lstm.bidirectional else 1
        for sequence, length in zip(inputs, self.lengths.tolist(), strict=True):
            final = self.lstm(sequence[None, :length])[1][0][-directions:, 0]
            outputs.append(self.readout(final.flatten()))
        return torch.stack(outputs)


def make_model(seed: int = 0, *, features: int = 2, hidden: int = 3, outputs: int = 2, **kwargs: object) -> Model:
    torch.manual_seed(seed)
    lstm = nn.LSTM(features, hidden, batch_first=True, **kwargs).double()
    readout = nn.Linear((lstm.proj_size or hidden) * (2 if lstm.bidirectional else 1), outputs).double()
    with torch.no_grad():
        for weight in (*lstm.parameters(), *readout.parameters()):
            weight.normal_()
    lengths = torch.tensor([5, 1, 3, 5])
    inputs = torch.randn(4, 5, features, dtype=torch.float64)
    return Model(lstm, readout, inputs, lengths)


@pytest.fixture(name="make_model")
def make_model_fixture() -> Callable[..., Model]:
    return make_model
