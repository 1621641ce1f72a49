"""Against relevances that an independent NumPy implementation computed, see `data/README.md`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rudder_lrp.lrp import LRP
from rudder_lrp.lrp.rules import stabilize

_DATA = np.load(Path(__file__).parent / "data" / "lrp_lstm_reference.npz")


class Case:
    """One case of the file: the model built from its weights, and its answers."""

    def __init__(self, name: str) -> None:
        self.answers = {k.partition("/")[2]: torch.from_numpy(_DATA[k]) for k in _DATA if k.startswith(f"{name}/")}
        self.x: Tensor = self["x"][None]
        both = bool(self["bidirectional"])
        hidden = self["readout"].shape[1]
        self.lstm = nn.LSTM(self.x.shape[2], hidden, batch_first=True, bidirectional=both, dtype=torch.float64)
        self.lstm.load_state_dict({k: v for k, v in self.answers.items() if k.startswith(("weight_", "bias_"))})
        weight = torch.cat([self["readout"], self["readout_reverse"]], 1) if both else self["readout"]
        self.readout = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
        self.readout.weight.data.copy_(weight)
        self.target, self.eps = int(self["target"]), float(self["eps"])

    def __getitem__(self, name: str) -> Tensor:
        return self.answers[name]


@pytest.fixture(params=["0", "1", "2"])
def case(request) -> Case:
    return Case(request.param)


def test_relevance_without_spreading_equals_the_oracle(case) -> None:
    lrp = LRP(case.lstm, case.readout, eps=case.eps)
    relevance, ledger = lrp.attribute(case.x, case.target, return_ledger=True)
    torch.testing.assert_close(relevance[0], case["relevance_bias0"], rtol=0, atol=1e-8)
    torch.testing.assert_close(ledger.initial_state[0], case["initial_state_bias0"], rtol=0, atol=1e-8)
    torch.testing.assert_close(ledger.total()[0], case["scores"][case.target], rtol=0, atol=1e-9)


def test_relevance_with_spreading_equals_the_oracle(case) -> None:
    """The oracle counts the hidden units of both directions as inputs of the readout, even where it uses only one."""
    h = case.lstm(case.x)[0].detach()
    relevance = torch.zeros_like(h)
    weight, y = case.readout.weight[case.target].detach(), case["scores"][case.target]
    spread = torch.copysign(torch.tensor(case.eps).double(), y) / (2 * case["readout"].shape[1])
    hidden = case["readout"].shape[1]
    for direction, last in enumerate([-1, 0][: h.shape[2] // hidden]):
        part = slice(direction * hidden, (direction + 1) * hidden)
        relevance[0, last, part] = (weight[part] * h[0, last, part] + spread) / stabilize(y, case.eps) * y
    lrp = LRP(case.lstm, None, eps=case.eps, conserve=True)
    found, ledger = lrp.attribute(case.x, relevance=relevance, return_ledger=True)
    torch.testing.assert_close(found[0], case["relevance_bias1"], rtol=0, atol=1e-8)
    # With one direction the oracle's initial state includes that of the direction it does not use, which got at most
    # its half of the readout's stabilizer.
    unused = 0.0 if case.lstm.bidirectional else float(spread.abs()) * hidden
    torch.testing.assert_close(ledger.initial_state[0], case["initial_state_bias1"], rtol=0, atol=1e-8 + unused)


def test_where_both_directions_are_used_the_front_door_spreads_as_the_oracle() -> None:
    case = Case("1")
    relevance, ledger = LRP(case.lstm, case.readout, eps=case.eps, conserve=True).attribute(
        case.x, case.target, return_ledger=True
    )
    torch.testing.assert_close(relevance[0], case["relevance_bias1"], rtol=0, atol=1e-8)
    torch.testing.assert_close(ledger.initial_state[0], case["initial_state_bias1"], rtol=0, atol=1e-8)
    torch.testing.assert_close(ledger.total()[0], case["scores"][case.target], rtol=0, atol=1e-9)
