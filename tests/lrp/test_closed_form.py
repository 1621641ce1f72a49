from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rudder_lrp.lrp import LRP, closed_form, direction, propagation, reference
from rudder_lrp.lrp.rules import GATE_RULES, Rules, epsilon
from rudder_lrp.lrp.sequences import Arrivals
from rudder_lrp.lrp.stack import Stack, weights_of
from rudder_lrp.lstm import LayerWeights, Structure, constrain_
from tests.lrp.models import KINDS, random_inputs, random_lstm, random_readout, random_state

PAIRS = [(KINDS[1], "all"), *((KINDS[2], rule) for rule in GATE_RULES)]


@pytest.mark.parametrize(("kind", "rule"), PAIRS)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000), steps=st.integers(1, 30))
def test_the_closed_form_is_the_limit_of_the_step_by_step_pass(kind, rule, seed, steps) -> None:
    lstm = random_lstm(kind, seed, input_size=3, hidden_size=4)
    x, readout = random_inputs(lstm, 1, steps, seed), random_readout(lstm, 1)
    eps = 1e-14
    relevance = LRP(lstm, readout, rule, eps).attribute(x)[0]
    h = reference.hidden_states(reference.maps_of(lstm, 0, False), x[0], *torch.zeros(2, 4).double())
    R = torch.zeros_like(h)
    R[-1] = readout.weight[0].detach() * h[-1]
    limit = reference.attribute(lstm, x[0], R, Rules(GATE_RULES[rule], epsilon, eps, False))[0]
    assert (relevance - limit).abs().max() <= 1e-10 * max(1.0, float(limit.abs().max()))


@pytest.mark.parametrize(("kind", "rule"), PAIRS)
def test_it_is_found_from_the_weights(kind, rule, monkeypatch) -> None:
    lstm = random_lstm(kind, input_size=3, hidden_size=4, num_layers=2, bidirectional=True)
    monkeypatch.setattr(propagation, "propagate", None)
    LRP(lstm, random_readout(lstm), rule).attribute(random_inputs(lstm, 2, 5), 0)


def test_one_recurrent_weight_into_the_cell_input_is_enough_to_leave_it(monkeypatch) -> None:
    lstm = random_lstm(KINDS[1], input_size=3, hidden_size=4)
    lstm.get_parameter("weight_hh_l0").data[8, 2] = 1e-6
    monkeypatch.setattr(closed_form, "propagate", None)
    LRP(lstm, random_readout(lstm)).attribute(random_inputs(lstm, 2, 5), 0)


@pytest.mark.parametrize("eps", [1e-3, 0.1])
def test_nothing_leaks_but_what_the_cell_inputs_own_map_absorbs(eps) -> None:
    lstm = random_lstm(KINDS[1], input_size=3, hidden_size=4, bias=False)
    readout = random_readout(lstm, 1)
    x = random_inputs(lstm, 2, 400)
    explanation = LRP(lstm, readout, eps=eps).explain(x)
    y = readout(lstm(x)[0][:, -1])[:, 0]
    torch.testing.assert_close(explanation.steps.sum(1), y - readout.bias, rtol=0, atol=1e-10)
    torch.testing.assert_close(explanation.ledger.readout_bias, readout.bias.expand(2), rtol=0, atol=0)


@pytest.mark.parametrize("structure", [Structure.ACCUMULATOR])
def test_on_the_accumulator_relevance_is_what_is_written_and_the_difference_of_predictions(structure) -> None:
    lstm = random_lstm(input_size=3, hidden_size=4)
    constrain_(lstm, structure)
    readout = random_readout(lstm, 1)
    x = random_inputs(lstm, 2, 30)
    steps = LRP(lstm, readout, reads="cell").explain(x).steps
    outputs = lstm(x)[0]
    before = torch.cat([torch.zeros_like(outputs[:, :1]), outputs[:, :-1]], 1)
    z = x @ lstm.weight_ih_l0.T + before @ lstm.weight_hh_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0
    i, _, g, _ = z.chunk(4, dim=2)
    written = (i.sigmoid() * g.tanh()) @ readout.weight[0]
    torch.testing.assert_close(steps, written, rtol=0, atol=1e-10)
    predictions = readout((i.sigmoid() * g.tanh()).cumsum(1))[..., 0]
    differences = predictions.diff(dim=1, prepend=readout.bias.expand(2, 1))
    torch.testing.assert_close(steps, differences, rtol=0, atol=1e-10)


@pytest.mark.parametrize("structure", [Structure.MINIMAL, Structure.ACCUMULATOR])
def test_where_no_gate_sees_the_hidden_state_the_kernel_never_runs(structure, monkeypatch) -> None:
    lstm = random_lstm(input_size=3, hidden_size=4)
    constrain_(lstm, structure)
    lrp = LRP(lstm, random_readout(lstm, 1), reads="cell" if structure.reads_cell else "hidden")
    x, lengths, state = random_inputs(lstm, 3, 40), torch.tensor([40, 7, 25]), random_state(lstm, 3)
    monkeypatch.setattr(direction, "_IN_CACHE", 9 * 3 * 4)
    U = lstm.get_parameter("weight_hh_l0").data
    U[0, 0] = 1e-13
    through_the_kernel = lrp.attribute(x, None, lengths, state=state)
    U[0, 0] = 0.0
    monkeypatch.setattr(LayerWeights, "run", None)
    torch.testing.assert_close(lrp.attribute(x, None, lengths, state=state), through_the_kernel, rtol=0, atol=1e-10)


def test_a_pass_leaves_what_the_gates_did_to_the_next_one() -> None:
    lstm = random_lstm("no recurrence", input_size=3, hidden_size=4)
    x, lengths = random_inputs(lstm, 2, 9).transpose(0, 1).contiguous(), torch.tensor([9, 9])
    stack = Stack(weights_of(lstm), x, lengths)
    entering = [[[Arrivals(torch.ones(2, 4).double(), lengths - 1)]]]
    rules = Rules(GATE_RULES["all"], epsilon, 1e-3, False)
    with torch.no_grad():
        first = stack.propagate(entering, rules, account=False).inputs
        assert torch.equal(stack.propagate(entering, rules, account=False).inputs, first)


def test_steps_of_shorter_sequences_earn_the_same() -> None:
    lstm = random_lstm(input_size=3, hidden_size=4)
    constrain_(lstm, Structure.ACCUMULATOR)
    lrp = LRP(lstm, nn.Linear(4, 1, dtype=torch.float64), reads="cell")
    x = random_inputs(lstm, 2, 20)
    long, short = lrp.explain(x).steps, lrp.explain(x, lengths=torch.tensor([12, 20])).steps
    torch.testing.assert_close(short[0, :12], long[0, :12], rtol=0, atol=1e-12)
    assert not short[0, 12:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_the_accumulator_nothing_later_counts_not_even_by_rounding(dtype) -> None:
    lstm = random_lstm(input_size=3, hidden_size=4)
    constrain_(lstm, Structure.ACCUMULATOR)
    lrp = LRP(lstm.to(dtype), nn.Linear(4, 1, dtype=dtype), reads="cell")
    x = random_inputs(lstm, 2, 20).to(dtype)
    changed = x.clone()
    changed[:, 12:] *= -3.0
    assert torch.equal(lrp.attribute(changed)[:, :12], lrp.attribute(x)[:, :12])
