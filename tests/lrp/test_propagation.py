from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rudder_lrp.lrp import LRP, direction, reference
from rudder_lrp.lrp.rules import GATE_RULES, LINEAR_RULES, Rules, epsilon
from tests.lrp import models


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Equal up to a tolerance relative to the largest value, because relevances of epsilon rules can be huge."""
    assert (found - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max()))


def compare_with_reference(lstm: nn.LSTM, lengths: list[int], rules: Rules, seed: int) -> None:
    T, count = max(lengths), 2 if lstm.bidirectional else 1
    x, state = models.random_inputs(lstm, len(lengths), T, seed), models.random_state(lstm, len(lengths), seed)
    generator = torch.Generator().manual_seed(seed)
    R = torch.randn(len(lengths), T, count * lstm.hidden_size, dtype=torch.float64, generator=generator)
    lrp = LRP(lstm, None, rules.gate, rules.eps, linear=rules.linear, conserve=rules.conserve)
    relevance, ledger = lrp.attribute(x, None, torch.tensor(lengths), return_ledger=True, state=state, relevance=R)
    for b, length in enumerate(lengths):
        initial = state[0][:, b], state[1][:, b]
        R_x, R_h, R_c = reference.attribute(lstm, x[b, :length], R[b, :length], rules, initial)
        assert_near(relevance[b, :length], R_x, 1e-10)
        assert not relevance[b, length:].any()
        scale = float(R_x.abs().max())
        assert abs(ledger.initial_hidden[b] - R_h.sum()) <= 1e-9 * max(1.0, scale)
        assert abs(ledger.initial_cell[b] - R_c.sum()) <= 1e-9 * max(1.0, scale)
        assert abs(ledger.total()[b] - R[b, :length].sum()) <= 1e-9 * max(1.0, scale)


@settings(max_examples=80)
@given(
    architecture=models.architectures,
    lengths=models.lengths_of_batches,
    rule=st.sampled_from(list(GATE_RULES)),
    eps=st.sampled_from([1e-3, 1e-2, 0.3]),
    conserve=st.booleans(),
)
def test_the_fast_pass_equals_the_equations_step_by_step(architecture, lengths, rule, eps, conserve) -> None:
    lstm = models.random_lstm("standard", **architecture)
    compare_with_reference(lstm, lengths, Rules(GATE_RULES[rule], epsilon, eps, conserve), architecture["seed"])


@settings(max_examples=30)
@given(architecture=models.architectures, lengths=models.lengths_of_batches, kind=st.sampled_from(models.KINDS[1:]))
def test_what_is_lost_is_spread_over_the_hidden_state_too_where_it_has_no_weight(architecture, lengths, kind) -> None:
    rules = Rules(GATE_RULES["all"], epsilon, 1e-2, True)
    compare_with_reference(models.random_lstm(kind, **architecture), lengths, rules, architecture["seed"])


@pytest.mark.parametrize("linear", list(LINEAR_RULES))
@settings(max_examples=10)
@given(lengths=models.lengths_of_batches, seed=st.integers(0, 100), rule=st.sampled_from(list(GATE_RULES)))
def test_gamma_and_z_plus_equal_the_equations_where_nothing_is_negative(linear, lengths, seed, rule) -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=3, seed=seed)
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if not name.startswith("weight_hh"):
                weight[6:9].abs_()
            else:
                weight[6:9].abs_()
    x = models.random_inputs(lstm, len(lengths), max(lengths), seed).abs()
    rules = Rules(GATE_RULES[rule], LINEAR_RULES[linear], 1e-2, False)
    lrp = LRP(lstm, readout := models.random_readout(lstm), rule, 1e-2, linear=linear)
    relevance = lrp.attribute(x, 0, torch.tensor(lengths))
    for b, length in enumerate(lengths):
        h = reference.hidden_states(reference.maps_of(lstm, 0, False), x[b, :length], *torch.zeros(2, 3).double())
        y = readout(h[-1])[:1].detach()
        R = torch.zeros_like(h)
        R[-1] = reference.linear(h[-1], readout.weight[:1].detach(), readout.bias[:1].detach(), y, rules)
        assert_near(relevance[b, :length], reference.attribute(lstm, x[b, :length], R, rules)[0], 1e-10)


def test_z_plus_gives_relevance_of_one_sign() -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=4)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight[8:12].abs_()
    readout = models.random_readout(lstm, 1)
    readout.weight.data.abs_()
    readout.bias.data.zero_()
    relevance = LRP(lstm, readout, linear="z-plus").attribute(models.random_inputs(lstm, 3, 9).abs())
    assert relevance.min() >= 0.0
    assert relevance.max() > 0.0


def test_gamma_is_refused_where_an_input_is_negative() -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=4)
    with pytest.raises(ValueError, match=r"gamma and z-plus need .* got -"):
        LRP(lstm, models.random_readout(lstm), linear="gamma").attribute(models.random_inputs(lstm, 1, 3), 0)


def test_gamma_is_refused_where_the_initial_hidden_state_is_negative() -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=4)
    with torch.no_grad():
        lstm.bias_ih_l0[8:12] = 9.0
    x, some = models.random_inputs(lstm, 1, 3).abs(), torch.full((1, 1, 4), 0.1, dtype=torch.float64)
    lrp = LRP(lstm, models.random_readout(lstm), linear="gamma")
    lrp.attribute(x, 0, state=(some, -some))
    with pytest.raises(ValueError, match=r"gamma and z-plus need .* got -0.1"):
        lrp.attribute(x, 0, state=(-some, some))


@pytest.mark.parametrize("rule", list(GATE_RULES))
@pytest.mark.parametrize("kind", models.KINDS)
def test_a_rule_of_ones_own_is_one_function(kind, rule) -> None:
    def same(gate: Tensor, signal: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        return GATE_RULES[rule](gate, signal, eps)

    lstm = models.random_lstm(kind, input_size=2, hidden_size=3)
    x, readout = models.random_inputs(lstm, 2, 5), models.random_readout(lstm)
    own, named = (LRP(lstm, readout, chosen, 1e-9).attribute(x, 1) for chosen in (same, rule))
    # A function that is not LRP-all itself takes the pass that could pay gates, which the closed form is the limit of.
    assert_near(own, named, 1e-10 if kind == "standard" else 1e-4)


@pytest.mark.parametrize("rule", list(GATE_RULES))
def test_vanishing_denominators_hand_their_relevance_to_the_stabilizer(rule) -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=3, bias=False)
    lstm.get_parameter("weight_ih_l0").data.zero_()
    R = torch.ones(1, 4, 3, dtype=torch.float64)
    x = models.random_inputs(lstm, 1, 4)
    relevance, ledger = LRP(lstm, None, rule).attribute(x, relevance=R, return_ledger=True)
    assert not relevance.any()
    torch.testing.assert_close(ledger.stabilizer, R.sum((1, 2)))


def test_opposite_pre_activations_share_by_eps_under_lrp_prop() -> None:
    z = torch.tensor([2.0, -2.0])
    gate, signal = GATE_RULES["prop"](z, -z, 0.5)
    assert gate.tolist() == [4.0, -4.0]
    assert signal.tolist() == [-4.0, 4.0]


def test_zero_counts_as_positive() -> None:
    from rudder_lrp.lrp.rules import stabilize

    assert stabilize(torch.tensor([0.0, 1.0, -1.0]), 0.5).tolist() == [0.5, 1.5, -1.5]


@pytest.mark.parametrize("kind", models.KINDS)
def test_relevance_does_not_depend_on_how_many_steps_are_worked_on_at_once(kind, monkeypatch) -> None:
    lstm = models.random_lstm(kind, input_size=3, hidden_size=4, num_layers=2, bidirectional=True)
    lrp, x = LRP(lstm, models.random_readout(lstm)), models.random_inputs(lstm, 5, 23)
    lengths = torch.tensor([23, 20, 23, 1, 7])
    whole = lrp.attribute(x, 0, lengths)
    monkeypatch.setattr(direction, "_IN_CACHE", 3 * 5 * 4)
    torch.testing.assert_close(lrp.attribute(x, 0, lengths), whole, rtol=0, atol=1e-12)
