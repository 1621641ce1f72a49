"""LRP through `nn.LSTM` and its ledger against an independent formulation in NumPy, one number at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rudder_lrp.lrp import LRP
from tests.lrp import numpy_lstm
from tests.lrp.models import KINDS, architectures, lengths_of_batches, random_inputs, random_lstm, random_state
from tests.lrp.numpy_lstm import ACCOUNTS, Settings

RULES = ("all", "half", "prop", "abs")


def entering(lstm: nn.LSTM, batch: int, steps: int, seed: int) -> Tensor:
    width = lstm.hidden_size * (2 if lstm.bidirectional else 1)
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randn(batch, steps, width, dtype=torch.float64, generator=generator)


def oracle(lstm: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor], R: Tensor, chosen: Settings):
    """Of one sequence: relevance, and the entries of the ledger by name."""
    weights = {name: value.detach().numpy() for name, value in lstm.named_parameters()}
    layers = numpy_lstm.layers_of(weights, *(part.numpy() for part in state), lstm.bidirectional)
    relevance, passes = numpy_lstm.explain_stack(layers, x.numpy(), R.numpy(), chosen)
    entries = {name: sum(one.accounts[name] for one in passes) for name in ACCOUNTS}
    entries["inputs"] = relevance.sum()
    entries["initial_hidden"] = sum(one.R_h.sum() for one in passes)
    entries["initial_cell"] = sum(one.R_c.sum() for one in passes)
    return relevance, entries


def assert_equal_to_the_oracle(lstm, x, lengths, state, R, chosen, lrp=None) -> None:
    lrp = lrp or LRP(lstm, None, chosen.rule, chosen.eps, linear=chosen.linear, conserve=chosen.conserve)
    given = {"lengths": torch.tensor(lengths), "state": state, "relevance": R}
    found, ledger = lrp.attribute(x, None, return_ledger=True, **given)
    bare = lrp.attribute(x, None, **given)
    for b, length in enumerate(lengths):
        initial = state[0][:, b], state[1][:, b]
        expected, entries = oracle(lstm, x[b, :length], initial, R[b, :length], chosen)
        tolerance = 1e-10 * max(1.0, float(np.abs(expected).max()), *map(abs, entries.values()))
        for relevance in (found[b], bare[b]):
            assert np.abs(relevance[:length].numpy() - expected).max() <= tolerance
            assert not relevance[length:].any()
        for name, entry in entries.items():
            assert abs(float(getattr(ledger, name)[b]) - entry) <= 10 * tolerance, name


@settings(max_examples=60)
@given(
    architecture=architectures,
    lengths=lengths_of_batches,
    rule=st.sampled_from(RULES),
    eps=st.sampled_from([1e-2, 0.3]),
    conserve=st.booleans(),
)
def test_relevance_and_every_entry_of_the_ledger(architecture, lengths, rule, eps, conserve) -> None:
    lstm, seed = random_lstm("standard", **architecture), architecture["seed"]
    x, state = random_inputs(lstm, len(lengths), max(lengths), seed), random_state(lstm, len(lengths), seed)
    R = entering(lstm, len(lengths), max(lengths), seed)
    assert_equal_to_the_oracle(lstm, x, lengths, state, R, Settings(rule, eps, conserve=conserve))


@pytest.mark.parametrize("linear", ["gamma", "z-plus"])
@settings(max_examples=15)
@given(lengths=lengths_of_batches, seed=st.integers(0, 1000), rule=st.sampled_from(RULES), conserve=st.booleans())
def test_gamma_and_z_plus_where_weights_have_both_signs(linear, lengths, seed, rule, conserve) -> None:
    """A bias keeps what is written, and with it the hidden states, from falling below zero."""
    lstm = random_lstm(input_size=3, hidden_size=4, seed=seed)
    with torch.no_grad():
        lstm.bias_ih_l0[8:12] = 9.0
    x = random_inputs(lstm, len(lengths), max(lengths), seed).abs().clamp(max=1.0)
    state = tuple(part.abs().clamp(max=1.0) for part in random_state(lstm, len(lengths), seed))
    R = entering(lstm, len(lengths), max(lengths), seed)
    assert_equal_to_the_oracle(lstm, x, lengths, state, R, Settings(rule, 0.02, linear, conserve))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("conserve", [False, True])
def test_a_readout_of_the_cell_sends_relevance_into_the_cell(kind, rule, conserve) -> None:
    lstm = random_lstm(kind, input_size=3, hidden_size=4)
    x, state = random_inputs(lstm, 1, 6), random_state(lstm, 1)
    lrp = LRP(lstm, None, rule, 1e-9, conserve=conserve, reads="cell")
    R = entering(lstm, 1, 6, 3)
    found = lrp.attribute(x, state=state, relevance=R)
    chosen = Settings(rule, 1e-9, "epsilon", conserve, at_cell=True)
    expected, _ = oracle(lstm, x[0], (state[0][:, 0], state[1][:, 0]), R[0], chosen)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


CLOSED = [("no recurrent cell input", "all"), *(("no recurrence", rule) for rule in RULES)]


@pytest.mark.parametrize(("kind", "rule"), CLOSED)
@pytest.mark.parametrize("at_cell", [False, True])
@settings(max_examples=10)
@given(lengths=lengths_of_batches, seed=st.integers(0, 1000), eps=st.sampled_from([1e-2, 0.3]))
def test_in_closed_form_the_cells_own_sum_loses_nothing(kind, rule, at_cell, lengths, seed, eps) -> None:
    lstm = random_lstm(kind, input_size=3, hidden_size=4, seed=seed)
    x, state = random_inputs(lstm, len(lengths), max(lengths), seed), random_state(lstm, len(lengths), seed)
    R = entering(lstm, len(lengths), max(lengths), seed)
    lrp = LRP(lstm, None, rule, eps, reads="cell" if at_cell else "hidden")
    chosen = Settings(rule, eps, at_cell=at_cell, closed=True)
    assert_equal_to_the_oracle(lstm, x, lengths, state, R, chosen, lrp)
