"""The fast passes read weights: a layer that does something else than those say is refused, or brought up to date."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.prune import l1_unstructured

from rudder_lrp.lrp import LRP


def small() -> nn.LSTM:
    return nn.LSTM(2, 3, batch_first=True)


HEAD = nn.Linear(3, 2)


class Doubling(nn.LSTM):
    def forward(self, x, state=None):
        return super().forward(2 * x, state)


class DoublingLinear(nn.Linear):
    def forward(self, x):
        return super().forward(2 * x)


def hooked() -> nn.LSTM:
    lstm = small()
    lstm.register_forward_pre_hook(lambda module, arguments: (2 * arguments[0],))
    return lstm


def lost() -> nn.LSTM:
    lstm = small()
    lstm.weight_hh_l0.data[0, 0] = torch.nan
    return lstm


ONES = torch.ones(4, 5, 2)


@pytest.mark.parametrize(
    ("lstm", "readout", "inputs", "error", "message"),
    [
        (Doubling(2, 3, batch_first=True), HEAD, ONES, TypeError, "Doubling has a forward of its own"),
        (small(), DoublingLinear(3, 2), ONES, TypeError, "forward of its own.* rebuild it as torch.nn.Linear"),
        (hooked(), HEAD, ONES, TypeError, "LSTM has hooks that may change what it does"),
        (small().half(), nn.Linear(3, 2).half(), ONES.half(), TypeError, "float16, supported are float32 and float64"),
        (small(), nn.Linear(3, 2).double(), ONES, ValueError, "torch.float64 on cpu, the recurrent layer is .*float32"),
        (small(), nn.Linear(3, 2, device="meta"), ONES, ValueError, "on meta, the recurrent layer is .* on cpu"),
        (lost(), HEAD, ONES, ValueError, "outputs hold NaN"),
        (small(), HEAD, ONES.to_sparse(), TypeError, "inputs are sparse"),
    ],
)
def test_what_is_not_as_its_weights_say_is_refused(lstm, readout, inputs, error, message) -> None:
    with pytest.raises(error, match=message) as refusal:
        LRP(lstm, readout).attribute(inputs, 0)
    assert "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_torchscript_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot look into TorchScript"):
        LRP(torch.jit.script(small()), HEAD)


def test_relevance_is_not_injected_where_states_are_lost() -> None:
    with pytest.raises(ValueError, match="outputs hold NaN"):
        LRP(lost()).attribute(ONES, relevance=torch.ones(4, 5, 3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch about itself
def test_a_compiled_lstm_and_readout_are_looked_through() -> None:
    lstm = small()
    expected = LRP(lstm, HEAD).attribute(ONES, 0)
    torch.testing.assert_close(LRP(torch.compile(lstm), torch.compile(HEAD)).attribute(ONES, 0), expected)


def pruned(lstm: nn.LSTM) -> nn.LSTM:
    return l1_unstructured(lstm, "weight_hh_l0", amount=4)


def normed(lstm: nn.LSTM) -> nn.LSTM:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(lstm, "weight_hh_l0")


@pytest.mark.parametrize("make", [pruned, normed])
def test_weights_that_training_has_changed_are_explained_as_they_are_now(make) -> None:
    lstm = make(small())
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.mul_(1.5)  # as an optimizer does, and no call of the module after it
    found = LRP(lstm, HEAD).attribute(ONES, 0)
    lstm(ONES)
    torch.testing.assert_close(found, LRP(lstm, HEAD).attribute(ONES, 0), rtol=0, atol=0)
