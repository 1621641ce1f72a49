from __future__ import annotations

import pytest
import torch
from torch import nn

from rudder_lrp.lrp.sequences import padding
from rudder_lrp.lstm import Gate, LayerWeights, Structure, constrain_, gate_rows, structure_of


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_padding_the_cell_state_stays_as_it_is(dtype) -> None:
    torch.manual_seed(0)
    weights = LayerWeights(*(part.detach() for part in LayerWeights.of(nn.LSTM(3, 4, dtype=dtype))))
    x, h_0, c_0 = torch.randn(6, 3, 3, dtype=dtype), torch.randn(3, 4, dtype=dtype), torch.randn(3, 4, dtype=dtype)
    lengths = torch.tensor([6, 1, 4])
    h, last = weights.run(x, (h_0, c_0), padding(lengths, 6))
    for at, length in enumerate(lengths.tolist()):
        own = slice(at, at + 1)
        alone, c = weights.run(x[:length, own], (h_0[own], c_0[own]))
        tolerance = 1e-6 if dtype == torch.float32 else 1e-14
        torch.testing.assert_close(last[own], c, rtol=0, atol=tolerance)
        torch.testing.assert_close(h[:length, own], alone, rtol=0, atol=tolerance)


@pytest.mark.parametrize("structure", list(Structure))
def test_a_structure_is_found_again_from_the_weights(structure) -> None:
    lstm = nn.LSTM(3, 4)
    constrain_(lstm, structure)
    assert structure_of(lstm) is structure


@pytest.mark.parametrize("weight", ["weight_ih_l0", "weight_hh_l0"])
def test_a_gate_that_sees_anything_is_not_pinned_however_large_its_bias(weight) -> None:
    lstm = nn.LSTM(3, 4)
    constrain_(lstm, Structure.ACCUMULATOR)
    with torch.no_grad():
        lstm.get_parameter(weight)[gate_rows(4)[Gate.F].start, 0] = 1e-3
    weights = LayerWeights.of(lstm)
    assert [weights.is_open(gate) for gate in (Gate.F, Gate.O)] == [False, True]


@pytest.mark.parametrize("structure", list(Structure)[1:])
def test_pinned_gates_stay_open_in_the_fused_kernel(structure) -> None:
    lstm = nn.LSTM(3, 4, batch_first=True).double()
    constrain_(lstm, structure)
    x = torch.randn(2, 30, 3).double()
    outputs, (_, c_n) = lstm(x)
    before = torch.cat([torch.zeros(2, 1, 4), outputs[:, :-1]], 1)
    z = x @ lstm.weight_ih_l0.T + before @ lstm.weight_hh_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0
    i, f, g, o = z.chunk(4, dim=2)
    if structure in (Structure.ACCUMULATOR, Structure.OUTPUT_GATED):
        torch.testing.assert_close(c_n[0], (i.sigmoid() * g.tanh()).sum(1), rtol=0, atol=1e-12)
        assert (f.sigmoid() == 1.0).all()
    if structure.reads_cell:
        torch.testing.assert_close(outputs[:, -1], c_n[0].tanh(), rtol=0, atol=1e-12)
        assert (o.sigmoid() == 1.0).all()


def test_recurrent_gates_do_not_see_the_inputs() -> None:
    lstm = nn.LSTM(3, 4)
    constrain_(lstm, Structure.MARKOV, recurrent_gates=True)
    for gate in (Gate.I, Gate.F, Gate.O):
        assert not LayerWeights.of(lstm).rows(gate).W.any()
    assert LayerWeights.of(lstm).rows(Gate.G).W.any()


@pytest.mark.parametrize("structure", [Structure.STANDARD, Structure.MARKOV])
def test_a_non_negative_cell_input_keeps_cells_and_hidden_states_non_negative(structure) -> None:
    lstm = nn.LSTM(3, 4)
    constrain_(lstm, structure, non_negative=True)
    outputs, (_, c_n) = lstm(torch.rand(20, 5, 3))
    assert outputs.min() >= 0.0
    assert c_n.min() >= 0.0
    assert c_n.max() > 0.0


def test_the_constraint_keeps_the_state_dict_of_a_plain_lstm() -> None:
    lstm = nn.LSTM(3, 4)
    constrain_(lstm, Structure.ACCUMULATOR, recurrent_gates=True, non_negative=True)
    nn.LSTM(3, 4).load_state_dict(lstm.state_dict())


def test_pre_activations_of_all_steps_follow_from_the_hidden_states() -> None:
    lstm = nn.LSTM(3, 4).double()
    x, initial = torch.randn(7, 2, 3).double(), torch.randn(2, 4).double()
    with torch.no_grad():
        weights = LayerWeights.of(lstm)
        h, c = weights.run(x, (initial, initial))
        i, f, g, o = weights.preactivation(x, initial, h).chunk(4, dim=2)
        cell = initial
        for t in range(7):
            cell = f[t].sigmoid() * cell + i[t].sigmoid() * g[t].tanh()
            torch.testing.assert_close(o[t].sigmoid() * cell.tanh(), h[t], rtol=0, atol=1e-12)
        torch.testing.assert_close(cell, c, rtol=0, atol=1e-12)
        assert weights.recurrent_rows() == 16
        weights.U[gate_rows(4)[Gate.O]] = 0.0
        assert weights.recurrent_rows() == 12
