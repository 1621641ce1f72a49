"""Single numbers worked out by hand, and symmetries: what a fast pass and its account must say, line by line."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rudder_lrp.lrp import LRP, direction
from rudder_lrp.lrp.rules import Rules, absolute, epsilon, gamma, z_plus
from tests.lrp.models import KINDS, random_inputs, random_lstm, random_readout, random_state


def test_gamma_adds_to_positive_weights_alone() -> None:
    weight = torch.tensor([-2.0, 0.0, 4.0])
    assert gamma(weight).tolist() == [-2.0, 0.0, 5.0]
    assert gamma(weight, emphasis=1.0).tolist() == [-2.0, 0.0, 8.0]
    assert z_plus(weight).tolist() == [0.0, 0.0, 4.0]


def test_shares_that_are_to_conserve_get_half_each_of_what_is_missing() -> None:
    gate, signal = torch.tensor([1.0, -2.0]), torch.tensor([2.0, 1.0])
    assert Rules(absolute, epsilon, 1.0, False).shares(gate, signal)[0].tolist() == [0.25, 0.5]
    of_gate, of_signal = Rules(absolute, epsilon, 1.0, True).shares(gate, signal)
    assert of_gate.tolist() == [0.375, 0.625]
    assert of_signal.tolist() == [0.625, 0.375]


def one_unit(bias: float = 0.0) -> tuple[nn.LSTM, nn.Linear]:
    """One input, one unit: in the first step `z_i, z_f, z_g, z_o = 0.5, 0.7, 1.1, -0.3` at `x = 1`, plus the bias."""
    lstm, readout = nn.LSTM(1, 1, batch_first=True).double(), nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.weight_ih_l0.copy_(torch.tensor([[0.5], [0.7], [1.1], [-0.3]], dtype=torch.float64))
        lstm.weight_hh_l0.fill_(0.2)  # so that there is no closed form
        lstm.bias_ih_l0.fill_(0.25 * bias)
        lstm.bias_hh_l0.fill_(0.75 * bias)
        readout.weight.fill_(3.0)
    return lstm, readout


def sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


def safe(value: float, eps: float) -> float:
    return value + eps if value >= 0 else value - eps


@pytest.mark.parametrize("eps", [0.01, 0.4])
@pytest.mark.parametrize("bias", [0.0, 0.6])
def test_the_account_of_one_step_under_lrp_half(eps, bias) -> None:
    lstm, readout = one_unit(bias)
    z_i, _, z_g, z_o = 0.5 + bias, 0.7 + bias, 1.1 + bias, -0.3 + bias
    c = sigmoid(z_i) * math.tanh(z_g)
    h = sigmoid(z_o) * math.tanh(c)
    R_h = 3 * h / safe(3 * h, eps) * 3 * h
    R_o, R_c = R_h / 2, R_h / 2
    R_written = c / safe(c, eps) * R_c
    R_i, R_g = R_written / 2, R_written / 2
    lrp = LRP(lstm, readout, "half", eps)
    relevance, ledger = lrp.attribute(torch.ones(1, 1, 1).double(), return_ledger=True)
    parts = [(R_g, 1.1, z_g), (R_i, 0.5, z_i), (R_o, -0.3, z_o)]
    assert math.isclose(float(relevance), sum(R * w / safe(z, eps) for R, w, z in parts), abs_tol=1e-12)
    assert math.isclose(float(ledger.through_gates), R_i + R_o, abs_tol=1e-12)
    assert math.isclose(float(ledger.cell_input_bias), R_g * bias / safe(z_g, eps), abs_tol=1e-12)
    assert math.isclose(float(ledger.gate_bias), sum(R * bias / safe(z, eps) for R, _, z in parts[1:]), abs_tol=1e-12)
    lost = 3 * h - R_h + R_c - R_written + sum(R * (1 - z / safe(z, eps)) for R, _, z in parts)
    assert math.isclose(float(ledger.stabilizer), lost, abs_tol=1e-12)
    step = lrp.explain(torch.ones(1, 1, 1).double()).steps
    assert math.isclose(float(step), R_g + R_i + R_o, abs_tol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 3, 7])
def test_stretches_of_steps_join_without_a_seam(kind, rows, monkeypatch) -> None:
    """All sequences end at the last step, so that the closed form works on a few steps at a time too."""
    lstm = random_lstm(kind, input_size=3, hidden_size=4)
    lrp, x, state = LRP(lstm, random_readout(lstm)), random_inputs(lstm, 5, 11), random_state(lstm, 5)
    whole, ledger = lrp.attribute(x, 0, return_ledger=True, state=state)
    monkeypatch.setattr(direction, "_IN_CACHE", rows * 5 * 4)
    torch.testing.assert_close(lrp.attribute(x, 0, state=state), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(ledger.inputs, whole.sum((1, 2)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reads", ["hidden", "cell"])
@pytest.mark.parametrize("lengths", [[4, 4], [4, 2], [1, 3]])
def test_the_readout_reads_the_state_of_each_sequence_after_its_own_last_step(kind, reads, lengths) -> None:
    lstm = random_lstm(kind, input_size=2, hidden_size=3)
    readout, x = random_readout(lstm, 1), random_inputs(lstm, 2, 4)
    _, ledger = LRP(lstm, readout, reads=reads).attribute(x, None, torch.tensor(lengths), return_ledger=True)
    for b, length in enumerate(lengths):
        h, c = lstm(x[b : b + 1, :length])[1]
        y = readout((h if reads == "hidden" else c)[0])
        torch.testing.assert_close(ledger.total()[b], y[0, 0].detach(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("rule", ["all", "half"])
def test_time_reversed_and_directions_swapped_is_the_same(rule) -> None:
    """Also what each step absorbs, which has to be turned with its direction."""
    lstm = random_lstm(input_size=2, hidden_size=3, num_layers=2, bidirectional=True)
    swapped = random_lstm(input_size=2, hidden_size=3, num_layers=2, bidirectional=True)
    readout, other = random_readout(lstm, 1), random_readout(lstm, 1)
    turned = torch.cat([torch.arange(3, 6), torch.arange(3)])
    with torch.no_grad():
        for name, value in lstm.named_parameters():
            partner = name.removesuffix("_reverse") if name.endswith("_reverse") else name + "_reverse"
            value = value[:, turned] if name.startswith("weight_ih_l1") else value
            swapped.get_parameter(partner).copy_(value)
        other.weight.copy_(readout.weight[:, turned])
        other.bias.copy_(readout.bias)
    x = random_inputs(lstm, 2, 5)
    first, second = LRP(lstm, readout, rule).explain(x), LRP(swapped, other, rule).explain(x.flip(1))
    torch.testing.assert_close(second.inputs.flip(1), first.inputs, rtol=0, atol=1e-10)
    torch.testing.assert_close(second.steps.flip(1), first.steps, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_nonlinearity_before_the_first_linear_layer_of_the_readout(kind) -> None:
    """Relevance for each unit of the state is then not known without a division."""
    lstm, linear = random_lstm(kind, input_size=2, hidden_size=3), nn.Linear(3, 1).double()
    x = random_inputs(lstm, 2, 4)
    lrp = LRP(lstm, nn.Sequential(nn.Tanh(), linear), eps=1e-9, reads="cell")
    found, ledger = lrp.attribute(x, return_ledger=True)
    c = lstm(x)[1][1][0].detach()
    torch.testing.assert_close(ledger.total(), linear(c.tanh())[:, 0].detach(), rtol=0, atol=1e-9)
    assert abs(float(ledger.stabilizer.abs().max())) < 1e-4
    of_states = LRP(lstm, None, eps=1e-9, reads="cell")
    R = torch.zeros(2, 4, 3).double()
    R[:, -1] = linear.weight[0].detach() * c.tanh()
    torch.testing.assert_close(found, of_states.attribute(x, relevance=R), rtol=0, atol=1e-4)
