"""LRP through `nn.GRU`: against the plain loops, and against an independent formulation in NumPy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rudder_lrp.lrp import LRP, gru, reference_gru
from rudder_lrp.lrp.rules import GATE_RULES, Rules, epsilon
from tests.lrp import numpy_gru
from tests.lrp.models import architectures, lengths_of_batches, random_inputs, random_readout

RULES = list(GATE_RULES)


def random_gru(seed: int = 0, markov: bool = False, **options: object) -> nn.GRU:
    torch.manual_seed(seed)
    core = nn.GRU(**{"batch_first": True, "dtype": torch.float64, **options})
    with torch.no_grad():
        for name, weight in core.named_parameters():
            weight.uniform_(-1.0, 1.0)
            if markov and name.startswith("weight_hh"):
                weight[2 * core.hidden_size :] = 0.0
    return core


def maps_of(core: nn.GRU) -> reference_gru.Maps:
    W, U = core.weight_ih_l0.detach(), core.weight_hh_l0.detach()
    none = torch.zeros(len(W), dtype=W.dtype)
    return reference_gru.Maps(
        W, U, *((core.bias_ih_l0.detach(), core.bias_hh_l0.detach()) if core.bias else (none, none))
    )


def random_like(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60)
@given(
    features=st.integers(1, 4),
    hidden=st.integers(1, 5),
    steps=st.integers(1, 7),
    bias=st.booleans(),
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(RULES),
    eps=st.sampled_from([1e-3, 1e-2, 0.3]),
)
def test_the_fast_pass_equals_the_plain_loops_and_the_oracle(features, hidden, steps, bias, seed, rule, eps) -> None:
    core = random_gru(seed, input_size=features, hidden_size=hidden, bias=bias)
    maps, x, h_0 = maps_of(core), random_like(seed, steps, features), random_like(seed + 1, hidden)
    R = random_like(seed + 2, steps, hidden)
    found, ledger = LRP(core, None, rule, eps).attribute(
        x[None], relevance=R[None], state=h_0[None, None], return_ledger=True
    )
    R_x, R_h = reference_gru.attribute_layer(maps, x, h_0, R, Rules(GATE_RULES[rule], epsilon, eps, False))
    oracle = numpy_gru.explain(*(part.numpy() for part in (*maps, x, h_0, R)), rule, eps)
    scale = max(1.0, float(R_x.abs().max()))
    assert (found[0] - R_x).abs().max() <= 1e-10 * scale
    assert (found[0] - torch.from_numpy(oracle["x"])).abs().max() <= 1e-10 * scale
    for entry, expected in (
        (ledger.initial_hidden, R_h.sum()),
        (ledger.initial_hidden, oracle["h_0"].sum()),
        (ledger.cell_input_bias + ledger.gate_bias, oracle["bias"]),
        (ledger.stabilizer, oracle["lost"]),
        (ledger.through_gates, oracle["gates"]),
        (ledger.total(), R.sum()),
    ):
        assert abs(float(entry) - float(expected)) <= 1e-9 * scale
    assert not ledger.initial_cell.any()


@settings(max_examples=40)
@given(architecture=architectures, lengths=lengths_of_batches, rule=st.sampled_from(RULES), markov=st.booleans())
def test_a_sequence_gets_the_same_alone_and_the_ledger_sums_to_the_output(architecture, lengths, rule, markov) -> None:
    core = random_gru(markov=markov, **architecture)
    lrp = LRP(core, readout := random_readout(core), rule, 0.05)
    x = random_inputs(core, len(lengths), max(lengths) + 1)
    together, ledger = lrp.attribute(x, 1, torch.tensor(lengths), return_ledger=True)
    for b, length in enumerate(lengths):
        (alone,), own = lrp.attribute(x[b : b + 1, :length], 1, return_ledger=True)
        scale = max(1.0, float(alone.abs().max()))
        for name, entry in own._asdict().items():
            assert abs(float(getattr(ledger, name)[b] - entry)) <= 1e-9 * scale, name
        assert (together[b, :length] - alone).abs().max() <= 1e-12 * scale
        assert not together[b, length:].any()
        h_n = core(x[b : b + 1, :length])[1][-2 if core.bidirectional else -1 :]
        y = readout(h_n.transpose(0, 1).flatten(1))[0, 1]
        assert abs(ledger.total()[b] - y) <= 1e-9 * scale


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), hidden=st.integers(1, 5), steps=st.integers(1, 9), bias=st.booleans())
def test_the_closed_form_is_the_limit_of_the_equations(seed, hidden, steps, bias) -> None:
    core = random_gru(seed, markov=True, input_size=2, hidden_size=hidden, bias=bias)
    assert gru.has_closed_form(gru.GRUWeights.of(*core._flat_weights), Rules(GATE_RULES["all"], epsilon, 1e-3, False))
    x, h_0, w = random_like(seed, steps, 2), random_like(seed + 1, hidden), random_like(seed + 2, hidden)
    h = core(x[None], h_0[None, None])[0][0].detach()
    R = torch.zeros_like(h)
    R[-1] = w * h[-1]
    closed, ledger = LRP(core, None, eps=1e-12).attribute(
        x[None], relevance=R[None], state=h_0[None, None], return_ledger=True
    )
    R_x, R_h = reference_gru.attribute_layer(maps_of(core), x, h_0, R, Rules(GATE_RULES["all"], epsilon, 1e-12, False))
    scale = max(1.0, float(R_x.abs().max()))
    assert (closed[0] - R_x).abs().max() <= 1e-6 * scale
    assert abs(float(ledger.initial_hidden) - float(R_h.sum())) <= 1e-6 * scale


def test_the_closed_form_of_an_example_by_hand() -> None:
    """One unit, two steps, no recurrence: `h_2 = (1 - z) n_2 + z (1 - z) n_1`, read out as it is."""
    core = random_gru(markov=True, input_size=1, hidden_size=1, bias=False)
    with torch.no_grad():
        core.weight_hh_l0.zero_()
        core.weight_ih_l0.copy_(torch.tensor([[0.3], [0.4], [0.7]], dtype=torch.float64))
    readout = nn.Linear(1, 1, bias=False).double()
    readout.weight.data.fill_(2.0)
    x = torch.tensor([[[1.0], [-2.0]]], dtype=torch.float64)
    z, n = (0.4 * x[0, :, 0]).sigmoid(), (0.7 * x[0, :, 0]).tanh()
    expected = 2.0 * torch.stack([z[1] * (1 - z[0]) * n[0], (1 - z[1]) * n[1]])
    found = LRP(core, readout, eps=1e-12).attribute(x)
    torch.testing.assert_close(found[0, :, 0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conserve": True}, "neither conserve nor a linear rule"),
        ({"linear": "gamma"}, "neither conserve nor a linear rule"),
        ({"reads": "cell"}, "no cell state"),
    ],
)
def test_what_a_gru_has_not_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        LRP(nn.GRU(2, 3), nn.Linear(3, 1), **options)


def test_the_state_of_a_gru_is_one_tensor_and_that_of_an_lstm_two() -> None:
    x, h = torch.zeros(1, 4, 2), torch.zeros(1, 1, 3)
    with pytest.raises(TypeError, match="state must be as GRU takes it, got tuple"):
        LRP(nn.GRU(2, 3, batch_first=True), nn.Linear(3, 1)).attribute(x, state=(h, h))
    with pytest.raises(TypeError, match="state must be as LSTM takes it, got Tensor"):
        LRP(nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 1)).attribute(x, state=h)
