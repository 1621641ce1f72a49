from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rudder_lrp.lrp import LRP
from rudder_lrp.lrp.rules import GATE_RULES
from tests.lrp import models

RULES = list(GATE_RULES)


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Sequential(nn.Linear(4, outputs), nn.Tanh())
    ).double()


@settings(max_examples=40)
@given(
    architecture=models.architectures,
    lengths=models.lengths_of_batches,
    rule=st.sampled_from(RULES),
    kind=st.sampled_from(models.KINDS),
    conserve=st.booleans(),
)
def test_a_sequence_gets_the_same_alone_and_in_any_padded_batch(architecture, lengths, rule, kind, conserve) -> None:
    lstm = models.random_lstm(kind, **architecture)
    lrp = LRP(lstm, models.random_readout(lstm), rule, 0.05, conserve=conserve)
    x = models.random_inputs(lstm, len(lengths), max(lengths) + 2)
    for b, length in enumerate(lengths):
        x[b, length:] = torch.nan
    together = lrp.attribute(x, 1, torch.tensor(lengths))
    for b, length in enumerate(lengths):
        alone = lrp.attribute(x[b : b + 1, :length], 1)[0]
        assert (together[b, :length] - alone).abs().max() <= 1e-12 * max(1.0, float(alone.abs().max()))
        assert torch.equal(together[b, length:], torch.zeros_like(together[b, length:]))


@settings(max_examples=40)
@given(
    architecture=models.architectures,
    rule=st.sampled_from(RULES),
    kind=st.sampled_from(models.KINDS),
    conserve=st.booleans(),
    deep=st.booleans(),
    step=st.sampled_from([None, 0, 3]),
)
def test_the_ledger_sums_to_the_output(architecture, rule, kind, conserve, deep, step) -> None:
    lstm = models.random_lstm(kind, **architecture)
    states = lstm.hidden_size * (2 if lstm.bidirectional else 1)
    readout = mlp(states, 2) if deep else nn.Linear(states, 2).double()
    encoder = nn.Sequential(nn.Linear(3, lstm.input_size), nn.Tanh()).double()
    x, state = torch.randn(2, 5, 3).double(), models.random_state(lstm, 2)
    lrp = LRP(lstm, readout, rule, 0.05, encoder=encoder, conserve=conserve)
    relevance, ledger = lrp.attribute(x, 1, return_ledger=True, state=state, step=step)
    outputs, (h_n, _) = lstm(encoder(x), state)
    final = h_n[-2 if lstm.bidirectional else -1 :].transpose(0, 1).flatten(1)
    y = readout.eval()(final if step is None else outputs[:, step])[:, 1]
    scale = max(1.0, float(relevance.abs().max()))
    assert (ledger.total() - y).abs().max() <= 1e-9 * scale
    assert (ledger.inputs - relevance.sum((1, 2))).abs().max() <= 1e-9 * scale
    if conserve:
        assert not torch.stack([ledger.cell_input_bias, ledger.gate_bias, ledger.stabilizer]).any()
    if rule == "all":
        assert not torch.stack([ledger.gate_bias, ledger.through_gates]).any()


def test_the_final_step_of_one_direction_is_the_final_state() -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=3)
    lrp, x = LRP(lstm, models.random_readout(lstm)), models.random_inputs(lstm, 2, 6)
    torch.testing.assert_close(lrp.attribute(x, 0, step=5), lrp.attribute(x, 0), rtol=0, atol=0)
    middle = lrp.attribute(x, 0, step=torch.tensor([2, 4]))
    torch.testing.assert_close(middle[0, :3], lrp.attribute(x[:1, :3], 0)[0], rtol=0, atol=1e-12)
    assert not middle[0, 3:].any()


@pytest.mark.parametrize("kind", models.KINDS)
def test_what_is_read_of_the_cell_in_the_middle_comes_of_the_steps_so_far(kind) -> None:
    lstm = models.random_lstm(kind, input_size=2, hidden_size=3)
    readout = models.random_readout(lstm)
    x, state = models.random_inputs(lstm, 2, 6), models.random_state(lstm, 2)
    lrp = LRP(lstm, readout, reads="cell")
    relevance, ledger = lrp.attribute(x, 0, return_ledger=True, state=state, step=torch.tensor([2, 4]))
    for sequence, steps in enumerate((3, 5)):
        alone, started = x[[sequence], :steps], tuple(part[:, [sequence]] for part in state)
        _, (_, cell) = lstm(alone, started)
        torch.testing.assert_close(ledger.total()[sequence], readout(cell)[0, 0, 0], rtol=0, atol=1e-9)
        of_the_steps_so_far = lrp.attribute(alone, 0, state=started)[0]
        torch.testing.assert_close(relevance[sequence, :steps], of_the_steps_so_far, rtol=0, atol=1e-9)


def test_targets_may_differ_between_sequences() -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=3)
    lrp, x = LRP(lstm, models.random_readout(lstm)), models.random_inputs(lstm, 2, 6)
    both = lrp.attribute(x, torch.tensor([2, 0]))
    torch.testing.assert_close(both, torch.stack([lrp.attribute(x, 2)[0], lrp.attribute(x, 0)[1]]), rtol=0, atol=1e-12)


def test_the_layout_of_the_model_is_kept() -> None:
    first, second = (
        models.random_lstm(input_size=2, hidden_size=3, batch_first=batch_first) for batch_first in (True, False)
    )
    readout = models.random_readout(first)
    x = models.random_inputs(first, 4, 6)
    lengths = torch.tensor([6, 2, 3, 1])
    relevance = LRP(first, readout).attribute(x, 0, lengths)
    swapped = LRP(second, readout).attribute(x.transpose(0, 1), 0, lengths)
    torch.testing.assert_close(swapped.transpose(0, 1), relevance, rtol=0, atol=0)


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_sequences_come_back_packed(enforce_sorted) -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=3, bidirectional=True)
    lengths = torch.tensor([6, 5, 5, 1] if enforce_sorted else [2, 6, 1, 6])
    x, lrp = models.random_inputs(lstm, 4, 6), LRP(lstm, models.random_readout(lstm))
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=enforce_sorted)
    relevance, ledger = lrp.attribute(packed, 1, return_ledger=True)
    assert relevance.data.shape == packed.data.shape
    padded, _ = pad_packed_sequence(relevance, batch_first=True)
    expected, expected_ledger = lrp.attribute(x, 1, lengths, return_ledger=True)
    torch.testing.assert_close(padded, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(ledger.total(), expected_ledger.total(), rtol=0, atol=1e-12)
    for mine, theirs in zip(relevance[1:], packed[1:], strict=True):
        assert mine is theirs is None or torch.equal(mine, theirs)
    R = torch.randn(4, 6, 6, dtype=torch.float64)
    entering = pack_padded_sequence(R, lengths, batch_first=True, enforce_sorted=enforce_sorted)
    injected = lrp.attribute(packed, relevance=entering)
    padded, _ = pad_packed_sequence(injected, batch_first=True)
    torch.testing.assert_close(padded, lrp.attribute(x, lengths=lengths, relevance=R), rtol=0, atol=1e-12)


def test_the_model_is_left_alone_and_explained_without_dropout_or_autograd() -> None:
    lstm = models.random_lstm(input_size=2, hidden_size=3, num_layers=2, dropout=0.9).train()
    readout = mlp(3, 1).train()
    before = copy.deepcopy((lstm.state_dict(), readout.state_dict()))
    x = models.random_inputs(lstm, 2, 6).requires_grad_()
    relevance = LRP(lstm, readout).attribute(x)
    assert not relevance.requires_grad
    assert all(p.grad is None for p in (x, *lstm.parameters(), *readout.parameters()))
    assert lstm.training
    assert readout[2].training
    for module, state in zip((lstm, readout), before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    torch.testing.assert_close(LRP(lstm.eval(), readout.eval()).attribute(x), relevance, rtol=0, atol=0)


@pytest.mark.parametrize("kind", models.KINDS)
def test_single_precision_is_close_to_double(kind) -> None:
    lstm = models.random_lstm(kind, input_size=3, hidden_size=8)
    readout = models.random_readout(lstm)
    x = models.random_inputs(lstm, 4, 20)
    double = LRP(lstm, readout, eps=0.1).attribute(x, 0)
    single = LRP(lstm.float(), readout.float(), eps=0.1).attribute(x.float(), 0)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-4 * float(double.abs().max()))


@pytest.mark.parametrize("kind", models.KINDS)
def test_conserved_relevance_sums_to_the_output(kind) -> None:
    lstm = models.random_lstm(kind, input_size=3, hidden_size=4, num_layers=2)
    readout = mlp(4, 1)
    x = models.random_inputs(lstm, 2, 7)
    relevance, ledger = LRP(lstm, readout, eps=0.05, conserve=True).attribute(x, return_ledger=True)
    y = readout.eval()(lstm(x)[0][:, -1])[:, 0]
    torch.testing.assert_close(relevance.sum((1, 2)) + ledger.initial_state, y, rtol=0, atol=1e-9)


def small() -> nn.LSTM:
    return nn.LSTM(2, 3, batch_first=True)


HEAD = nn.Linear(3, 2)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: LRP(nn.GRU(2, 3), HEAD, reads="cell"), ValueError, "a GRU has no cell state"),
        (lambda: LRP(nn.RNN(2, 3), HEAD), TypeError, "got RNN"),
        (lambda: LRP(nn.LSTM(2, 3, proj_size=2), HEAD), ValueError, "proj_size=2"),
        (lambda: LRP(small(), nn.Conv1d(3, 1, 1)), TypeError, "got Conv1d"),
        (lambda: LRP(small(), nn.Sequential(nn.Linear(3, 2), nn.Softmax(1))), TypeError, "got Softmax"),
        (lambda: LRP(small(), nn.Linear(4, 2)), ValueError, "readout takes 4 features, but the LSTM returns 3"),
        (lambda: LRP(small(), HEAD, encoder=nn.Linear(5, 4)), ValueError, "encoder returns 4 .* LSTM takes 2"),
        (lambda: LRP(small(), HEAD, "most"), ValueError, "rule must be one of all, half, prop, abs"),
        (lambda: LRP(small(), HEAD, linear="w2"), ValueError, "linear must be one of epsilon"),
        (lambda: LRP(small(), HEAD, eps=0.0), ValueError, "eps must be > 0"),
        (lambda: LRP(small(), HEAD, reads="gate"), ValueError, "got 0.001 and 'gate'"),
    ],
)
def test_models_it_cannot_explain_are_refused(build, error, message) -> None:
    with pytest.raises(error, match=message):
        build()


def like(shape: tuple[int, ...], value: float = 1.0) -> Tensor:
    return torch.full(shape, value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"inputs": like((4, 5, 3))}, ValueError, r"F = 2 .* got shape \[4, 5, 3\]"),
        ({"inputs": like((5, 2))}, ValueError, r"got shape \[5, 2\]"),
        ({"inputs": like((0, 5, 2))}, ValueError, "nothing empty"),
        ({"inputs": torch.ones(4, 5, 2, dtype=torch.int64)}, TypeError, "int64, the model is torch.float32"),
        ({"inputs": like((4, 5, 2)).double()}, TypeError, "float64, the model is torch.float32"),
        ({"inputs": like((4, 5, 2)).numpy()}, TypeError, "got ndarray"),
        ({"inputs": like((4, 5, 2)).to("meta")}, ValueError, "on meta, the model is on cpu"),
        ({"inputs": like((4, 5, 2), torch.nan)}, ValueError, "inputs hold NaN"),
        ({"inputs": like((4, 5, 2), torch.inf)}, ValueError, "inputs hold NaN or infinite"),
        ({"lengths": torch.tensor([5, 0, 1, 2])}, ValueError, "got 0 to 5; leave empty sequences out"),
        ({"lengths": torch.tensor([5, 6, 1, 2])}, ValueError, "between 1 and the 5 steps"),
        ({"lengths": torch.tensor([5, 5])}, ValueError, r"\[4\], got shape \[2\]"),
        ({"lengths": torch.tensor([5.0, 1.0, 1.0, 1.0])}, TypeError, "got torch.float32"),
        ({"target": 2}, ValueError, "outputs 0 to 1"),
        ({"target": -1}, ValueError, "outputs 0 to 1"),
        ({"target": None}, ValueError, "got None; choose"),
        ({"target": torch.tensor([0, 1])}, ValueError, r"shape \[2\]"),
        ({"target": torch.tensor(0.5)}, ValueError, "got torch.float32"),
        ({"step": 5}, ValueError, "step must be a valid step"),
        ({"step": 0.5}, ValueError, "step must be one whole number"),
        ({"state": (like((1, 3, 3)), like((1, 4, 3)))}, ValueError, r"h_0 must be \[1, 4, 3\]"),
        ({"state": (like((1, 4, 3)), like((1, 4, 3), torch.nan))}, ValueError, "c_0 hold NaN"),
        ({"relevance": like((4, 5, 3))}, ValueError, "relevance was passed along with a target"),
        ({"target": None, "relevance": like((4, 5, 2))}, ValueError, "relevance must be like the outputs"),
        ({"target": None, "relevance": like((4, 5, 3), torch.nan)}, ValueError, "relevance hold NaN"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, error, message) -> None:
    given = {"inputs": like((4, 5, 2)), "target": 0} | arguments
    with pytest.raises(error, match=message) as refusal:
        LRP(small(), HEAD).attribute(**given)
    assert "\n" not in str(refusal.value)


def test_a_packed_batch_with_lengths_and_an_output_without_readout_are_refused() -> None:
    packed = pack_padded_sequence(like((4, 5, 2)), torch.tensor([5, 5, 5, 5]), batch_first=True)
    with pytest.raises(ValueError, match="brings its lengths"):
        LRP(small(), HEAD).attribute(packed, 0, torch.tensor([5, 5, 5, 5]))
    with pytest.raises(ValueError, match="there is no readout"):
        LRP(small()).attribute(like((4, 5, 2)), 0)
