"""What holds for any whole model: equal to the recurrent front door, untouched afterwards, refused in one sentence."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.prune import l1_unstructured
from torch.nn.utils.rnn import pack_padded_sequence

from rudder_lrp.lrp import LRP
from tests.lrp.grammar import GRAMMAR, Function, balanced, grammar_model, inputs
from tests.lrp.models import random_lstm, random_readout
from tests.lrp.whole_models import Classifier, tokens_of

RULES = ("all", "half", "prop", "abs")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("core", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("both", [False, True])
def test_a_whole_model_gets_what_its_recurrent_layer_and_readout_get(core, both, rule) -> None:
    torch.manual_seed(0)
    layer = core(3, 4, 2, batch_first=True, bidirectional=both).double()
    readout = random_readout(layer, 2)
    x = inputs(3, 6, 3)

    def final(model, x):
        last = model.core(x)[1]
        last = last[0] if isinstance(last, tuple) else last
        return model.readout(last[-2 if both else -1 :].transpose(0, 1).flatten(1))

    found, ledger = balanced(Function(final, core=layer, readout=readout), x, 1, rule=rule)
    expected, account = LRP(layer, readout, rule).attribute(x, 1, return_ledger=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(ledger.biases["core"], account.cell_input_bias + account.gate_bias, rtol=0, atol=1e-11)
    torch.testing.assert_close(ledger.biases["readout"], account.readout_bias, rtol=0, atol=1e-11)
    torch.testing.assert_close(ledger.initial_states["core"], account.initial_state, rtol=0, atol=1e-11)


def lstm_by_hand(model, x: Tensor) -> Tensor:
    h = c = torch.zeros(len(x), 4, dtype=x.dtype)
    for x_t in x.unbind(1):
        z_i, z_f, z_g, z_o = (model.x(x_t) + model.h(h)).chunk(4, 1)
        c = z_f.sigmoid() * c + z_i.sigmoid() * z_g.tanh()
        h = z_o.sigmoid() * c.tanh()
    return model.head(h)


def test_a_loop_written_by_hand_gets_what_the_kernel_gets() -> None:
    """Its maps of input and state are stabilized one by one, so the two meet as the stabilizer vanishes."""
    lstm = random_lstm(input_size=3, hidden_size=4)
    x_map, h_map, head = nn.Linear(3, 16).double(), nn.Linear(4, 16).double(), random_readout(lstm, 1)
    for layer, end in ((x_map, "ih"), (h_map, "hh")):
        layer.weight.data = lstm.get_parameter(f"weight_{end}_l0").data
        layer.bias.data = lstm.get_parameter(f"bias_{end}_l0").data
    x = inputs(2, 5, 3)
    by_hand, _ = balanced(Function(lstm_by_hand, x=x_map, h=h_map, head=head), x, eps=1e-12)
    torch.testing.assert_close(by_hand, LRP(lstm, head, eps=1e-12).attribute(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell])
def test_cells_in_a_loop_get_what_the_layer_gets(cell) -> None:
    torch.manual_seed(0)
    layer = (nn.LSTM if cell is nn.LSTMCell else nn.GRU)(3, 4, batch_first=True).double()
    one = cell(3, 4).double()
    one.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    head = nn.Linear(4, 2).double()

    def loop(model, x):
        state = None
        for t in range(x.shape[1]):
            state = model.cell(x[:, t], state)
        return model.head(state[0] if isinstance(state, tuple) else state)

    found, _ = balanced(Function(loop, cell=one, head=head), inputs(2, 5, 3), 1)
    torch.testing.assert_close(found, LRP(layer, head).attribute(inputs(2, 5, 3), 1), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", list(GRAMMAR))
@settings(max_examples=4)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 3), steps=st.integers(2, 5))
def test_whatever_forward_is_made_of_the_ledger_sums_to_its_output(name, seed, batch, steps) -> None:
    x = inputs(batch, steps, 3, seed=seed)
    relevance, ledger = LRP(grammar_model(GRAMMAR[name], seed), eps=0.05).attribute(x, 1, return_ledger=True)
    model = grammar_model(GRAMMAR[name], seed).eval()
    scale = max(1.0, float(relevance.abs().max()))
    assert (ledger.total() - model(x)[:, 1]).abs().max() <= 1e-8 * scale
    assert (ledger.inputs - relevance.flatten(1).sum(1)).abs().max() <= 1e-9 * scale
    if name != "control by data" or batch == 1:
        alone = LRP(model, eps=0.05).attribute(x[:1], 1)
        torch.testing.assert_close(alone, relevance[:1], rtol=1e-9, atol=1e-9 * scale)


def test_gates_take_nothing_half_or_their_share() -> None:
    def gated(model, x):
        return model.a(x).sigmoid() * model.b(x)

    model = Function(gated, a=nn.Linear(2, 1, bias=False), b=nn.Linear(2, 1, bias=False))
    x = inputs(1, 2)
    a, b = float(model.a(x).detach()), float(model.b(x).detach())
    y = float(model(x).detach())
    for rule, of_gate in {"all": 0.0, "half": 0.5, "prop": a / (a + b), "abs": abs(a) / (abs(a) + abs(b))}.items():
        found = LRP(model, rule=rule, eps=1e-12).attribute(x)
        parts = [x[0] * w.weight[0].detach() / z for w, z in ((model.a, a), (model.b, b))]
        expected = (of_gate * parts[0] + (1 - of_gate) * parts[1]) * y
        torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-8)
        other = LRP(model, rule="all", eps=1e-12, rules={"": rule}).attribute(x)
        torch.testing.assert_close(other, found, rtol=0, atol=0)


def test_several_inputs_packed_batches_and_features_of_tokens() -> None:
    pair = Function(lambda m, x, y: m.head(x * 2 + y), head=nn.Linear(3, 2))
    relevance, ledger = LRP(pair).attribute((inputs(2, 3), inputs(2, 3, seed=1)), 0, return_ledger=True)
    torch.testing.assert_close(ledger.inputs, sum(part.sum(1) for part in relevance), rtol=0, atol=1e-12)
    extra = LRP(pair).attribute(inputs(2, 3), 0, additional_forward_args=inputs(2, 3, seed=1))
    torch.testing.assert_close(extra, relevance[0], rtol=0, atol=0)

    core = Function(lambda m, packed: m.head(m.core(packed)[1][0]), core=nn.GRU(3, 4), head=nn.Linear(4, 2))
    x = inputs(5, 2, 3)
    packed = pack_padded_sequence(x, torch.tensor([5, 2]), enforce_sorted=False)
    found, ledger = LRP(core).attribute(packed, 1, return_ledger=True)
    torch.testing.assert_close(ledger.total(), core(packed)[:, 1], rtol=0, atol=1e-9)
    alone = LRP(core).attribute(pack_padded_sequence(x[:2, 1:], torch.tensor([2])), 1)
    torch.testing.assert_close(found.data[[1, 3]], alone.data, rtol=0, atol=1e-11)

    model, tokens = Classifier("gru", "mean", True, False), tokens_of([4, 2])
    features = LRP(model).attribute(tokens, 0, per_feature=True)
    assert features.shape == (2, 4, 5)
    torch.testing.assert_close(features.sum(2), LRP(model).attribute(tokens, 0), rtol=0, atol=1e-12)


def test_outputs_of_more_dimensions_are_named_by_a_tuple() -> None:
    model = Function(lambda m, x: m.head(m.core(x)[0]), core=nn.GRU(3, 4, batch_first=True), head=nn.Linear(4, 2))
    x = inputs(2, 5, 3)
    found, _ = balanced(model, x, (2, 1))
    assert not found[:, 3:].any()
    with pytest.raises(ValueError, match=r"target must be a tuple \(0 to 4, 0 to 1\) for outputs \[B, 5, 2\], got 1"):
        LRP(model).attribute(x, 1)
    single = Function(lambda m, x: m.head(x)[:, 0], head=nn.Linear(3, 1))
    balanced(single, inputs(2, 3))


class LeavingError(Exception):
    pass


def leave(model, x):
    torch.rand(3)
    torch.relu_(model.mix(x))
    raise LeavingError


@pytest.mark.parametrize("forward", [GRAMMAR["in place"], leave])
def test_the_model_the_inputs_and_the_random_state_are_afterwards_as_they_were(forward) -> None:
    model = grammar_model(forward).train()
    model.mix.eval()
    handle = model.head.register_forward_hook(lambda *_: None)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    x = inputs(2, 4, 3).requires_grad_()
    before = copy.deepcopy(model.state_dict()), x.detach().clone(), torch.get_rng_state()
    modules = {name: (type(part), part.forward, part.training) for name, part in model.named_modules()}
    with contextlib.suppress(LeavingError):
        LRP(model).attribute(x, 0, return_ledger=True)
    assert torch.equal(torch.get_rng_state(), before[2])
    assert torch.equal(x, before[1])
    assert x.grad is None
    assert all(torch.equal(value, before[0][name]) for name, value in model.state_dict().items())
    for name, part in model.named_modules():
        assert modules[name] == (type(part), part.forward, part.training)
        assert list(part._forward_hooks) == ([handle.id] if part is model.head else [])
        assert not part._forward_pre_hooks
        assert not part._backward_hooks
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight))
    assert model.mix.weight.grad is None
    assert model.core(inputs(1, 2, 3))[0].requires_grad  # no mode is left behind


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_does_not_matter_under_which_mode_it_is_called(mode) -> None:
    model, x = grammar_model(GRAMMAR["attention by matrices"]), inputs(2, 4, 3)
    expected = LRP(model).attribute(x, 0)
    with mode():
        torch.testing.assert_close(LRP(model).attribute(x.clone(), 0), expected, rtol=0, atol=0)


@pytest.mark.parametrize("core", [nn.LSTM, nn.GRU])
def test_under_autocast_a_model_is_explained_in_its_own_precision(core) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), Function(lambda m, x: m.head(m.core(x)[0][:, -1]), head=nn.Linear(3, 2)))
    model[1].core = core(3, 3, batch_first=True)
    model, x = model.float(), inputs(2, 4, 3).float()
    expected = LRP(model).attribute(x, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LRP(model).attribute(x, 0), expected)
        assert torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("core", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batched", [False, True])
def test_a_loop_over_the_examples_keeps_them_apart(core, batched) -> None:
    def one_by_one(model: nn.Module, tokens: Tensor) -> Tensor:
        rows = [model.embedding(row[: int((row != 0).sum())]) for row in tokens]
        states = [model.core(row[None])[0][0, -1] if batched else model.core(row)[0][-1] for row in rows]
        return model.head(torch.stack(states))

    torch.manual_seed(0)
    parts = {"embedding": nn.Embedding(9, 3), "core": core(3, 3, batch_first=True), "head": nn.Linear(3, 2)}
    model, tokens = Function(one_by_one, **parts), torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7], [8, 0, 0, 0]])
    relevance, ledger = balanced(model, tokens, 1)
    torch.testing.assert_close(ledger.inputs, relevance.sum(1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("core", [nn.LSTM, nn.GRU])
def test_autocast_in_forward_changes_nothing(core) -> None:
    def cast(model: nn.Module, x: Tensor, enabled: bool = True) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            return model.head(model.core(model.mix(x))[0][:, -1])

    torch.manual_seed(0)
    model = Function(cast, core=core(3, 3, batch_first=True), mix=nn.Linear(3, 3), head=nn.Linear(3, 2)).float()
    found = LRP(model).attribute(inputs(2, 4, 3).float(), 0)
    model.function = lambda m, x: cast(m, x, enabled=False)
    assert torch.equal(found, LRP(model).attribute(inputs(2, 4, 3).float(), 0))


def test_training_mode_is_explained_as_evaluation() -> None:
    model = Classifier("lstm", "attention", True, True)
    tokens = tokens_of([5, 3])
    expected = LRP(model.eval()).attribute(tokens, 0)
    torch.testing.assert_close(LRP(model.train()).attribute(tokens, 0), expected, rtol=0, atol=0)


@pytest.mark.parametrize("change", ["pruned", "weight norm", "shared"])
def test_weights_that_are_made_while_the_model_runs_are_taken_as_they_are(change) -> None:
    torch.manual_seed(0)
    core = nn.LSTM(3, 3, 2 if change == "shared" else 1, batch_first=True).double()
    model = Function(lambda m, x: m.head(m.core(x)[0].mean(1)), core=core, head=nn.Linear(3, 2))
    if change == "pruned":
        l1_unstructured(core, "weight_hh_l0", 4)
    elif change == "weight norm":
        weight_norm(core, "weight_hh_l0")
    else:
        core.weight_ih_l1 = core.weight_ih_l0
    balanced(model, inputs(2, 4, 3), 1)
    found = LRP(core, readout := random_readout(core)).attribute(inputs(2, 4, 3), 0, return_ledger=True)[1]
    y = readout(core(inputs(2, 4, 3))[0][:, -1])[:, 0]
    torch.testing.assert_close(found.total(), y, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch about itself
def test_wrappers_are_looked_through() -> None:
    model, x = grammar_model(GRAMMAR["residual"]), inputs(2, 4, 3)
    expected = LRP(model).attribute(x, 0)
    for wrapped in (torch.compile(model), nn.DataParallel(model)):
        torch.testing.assert_close(LRP(wrapped).attribute(x, 0), expected, rtol=0, atol=0)
