"""Contextual decomposition against its own equations, one number at a time."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rudder_lrp.attribution import ContextualDecomposition
from rudder_lrp.lstm import Structure, constrain_
from tests.attribution.conftest import make_model

KINDS = [
    {},
    {"bias": False},
    {"num_layers": 2},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True},
]


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def shares(parts: list[float], bias: float, function: object) -> list[float]:
    """Mean gain of each part over all orders of arrival after the bias."""
    gains = [0.0] * len(parts)
    orders = list(itertools.permutations(range(len(parts))))
    for order in orders:
        total = bias
        for part in order:
            gains[part] += (function(total + parts[part]) - function(total)) / len(orders)
            total += parts[part]
    return gains


def plain_gates(W: list, U: list, b: list, k: int, x: list, y: list, h: list) -> list[tuple]:
    """The four gates of a unit as their relevant part, the rest and the bias, from both parts of what they see."""
    gates = []
    for block, function in enumerate((sigmoid, sigmoid, math.tanh, sigmoid)):
        row = block * len(U[0]) + k
        parts = [
            sum(w * v for w, v in zip(W[row], seen, strict=True))
            + sum(u * state[part] for u, state in zip(U[row], h, strict=True))
            for part, seen in enumerate((x, y))
        ]
        gates.append((*shares(parts, b[row], function), function(b[row])))
    return gates


def plain_layer(W: list, U: list, b: list, relevant: list, rest: list, member: list[float]) -> tuple[list, list]:
    """One layer in one direction, in scalars; terms of each product are sorted by name."""
    hidden = len(U[0])
    h, c = [(0.0, 0.0)] * hidden, [(0.0, 0.0)] * hidden
    states = []
    for x, y, inside in zip(relevant, rest, member, strict=True):
        new_h, new_c = [], []
        for k in range(hidden):
            i, f, g, o = plain_gates(W, U, b, k, x, y, h)
            sums = [0.0, 0.0]
            for (one, gate), (two, signal) in itertools.product(zip("arb", i, strict=True), zip("arb", g, strict=True)):
                if one == two == "b":
                    sums[0] += inside * gate * signal
                    sums[1] += (1 - inside) * gate * signal
                else:
                    sums["r" in one + two] += gate * signal
            for (one, gate), (two, kept) in itertools.product(zip("arb", f, strict=True), zip("ar", c[k], strict=True)):
                sums["r" in one + two] += gate * kept
            new_c.append((sums[0], sums[1]))
            gains = shares(sums, 0.0, math.tanh)
            new_h.append((sum(o) * gains[0], sum(o) * gains[1]))
        h, c = new_h, new_c
        states.append(h)
    return [[unit[0] for unit in h] for h in states], [[unit[1] for unit in h] for h in states]


def plain_decomposition(lstm: nn.LSTM, readout: nn.Linear, x: Tensor, phrase: Tensor, target: int) -> tuple:
    relevant, rest = (x * phrase).tolist(), (x * (1 - phrase)).tolist()
    member = phrase.mean(1).tolist()
    for layer in range(lstm.num_layers):
        runs = []
        for end in (f"l{layer}", f"l{layer}_reverse")[: 2 if lstm.bidirectional else 1]:
            W, U = (getattr(lstm, f"weight_{kind}_{end}") for kind in ("ih", "hh"))
            b = [0.0] * len(W)
            if lstm.bias:
                b = (getattr(lstm, f"bias_ih_{end}") + getattr(lstm, f"bias_hh_{end}")).tolist()
            step = -1 if end.endswith("reverse") else 1
            run = plain_layer(W.tolist(), U.tolist(), b, relevant[::step], rest[::step], member[::step])
            runs.append((run[0][::step], run[1][::step]))
        relevant, rest = (
            [[*itertools.chain(*steps)] for steps in zip(*(run[part] for run in runs), strict=True)] for part in (0, 1)
        )
    hidden = lstm.hidden_size
    final = [states[-1][:hidden] + states[0][hidden:] for states in (relevant, rest)]
    weight, bias = readout.weight[target].tolist(), readout.bias[target].item()
    return tuple(sum(w * s for w, s in zip(weight, part, strict=True)) for part in final), bias


@pytest.mark.parametrize("kind", KINDS)
def test_each_phrase_gets_what_the_equations_say(kind: dict) -> None:
    model = make_model(**kind)
    x, method = model.inputs[0], ContextualDecomposition(model.lstm, model.readout)
    relevance = method.attribute(x[None], 1)[0]
    for t, feature in itertools.product(range(5), range(2)):
        phrase = torch.zeros_like(x)
        phrase[t, feature] = 1.0
        (beta, _), _ = plain_decomposition(model.lstm, model.readout, x, phrase, 1)
        assert relevance[t, feature].item() == pytest.approx(beta, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_gets_what_the_equations_say(kind: dict) -> None:
    model = make_model(**kind)
    x = model.inputs[0]
    relevance = ContextualDecomposition(model.lstm, model.readout, unit="step", rows=2).attribute(x[None], 0)[0]
    for t in range(5):
        phrase = torch.zeros_like(x)
        phrase[t] = 1.0
        (beta, _), _ = plain_decomposition(model.lstm, model.readout, x, phrase, 0)
        assert relevance[t].sum().item() == pytest.approx(beta, abs=1e-12)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS))
def test_both_parts_sum_to_the_output_exactly(seed: int, kind: dict) -> None:
    model = make_model(seed, **kind)
    phrase = torch.rand(model.inputs.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    parts = ContextualDecomposition(model.lstm, model.readout).of_phrase(model.inputs, phrase, 1, lengths=model.lengths)
    torch.testing.assert_close(sum(parts), model.outputs(model.inputs)[:, 1].detach(), rtol=0, atol=1e-12)


def test_the_empty_phrase_contributes_nothing_and_the_whole_leaves_the_bias() -> None:
    model = make_model()
    method = ContextualDecomposition(model.lstm, model.readout)
    nothing = method.of_phrase(model.inputs, torch.zeros_like(model.inputs), 0, lengths=model.lengths)
    assert (nothing.relevant == 0).all()
    everything = method.of_phrase(model.inputs, torch.ones_like(model.inputs), 0, lengths=model.lengths)
    bias = model.readout.bias[0].detach().expand(4)
    torch.testing.assert_close(everything.rest, bias, rtol=0, atol=1e-12)


def test_without_gating_by_the_inputs_the_steps_sum_to_the_output() -> None:
    model = make_model()
    with torch.no_grad():
        model.lstm.weight_ih_l0[:3] = 0.0
        model.lstm.weight_hh_l0[:3] = 0.0
    constrain_(model.lstm, Structure.ACCUMULATOR)
    method = ContextualDecomposition(model.lstm, model.readout, unit="step", reads="cell")
    relevance = method.attribute(model.inputs, 0, lengths=model.lengths)
    final = torch.stack([model.lstm(x[None, :n])[1][1][0, 0] for x, n in zip(model.inputs, model.lengths, strict=True)])
    torch.testing.assert_close(relevance.sum((1, 2)), final @ model.readout.weight[0], rtol=0, atol=1e-12)


def test_what_it_cannot_split_is_refused() -> None:
    with pytest.raises(ValueError, match="without projection, got proj_size=2"):
        ContextualDecomposition(nn.LSTM(2, 3, proj_size=2), nn.Linear(2, 1))
    with pytest.raises(TypeError, match="got Sequential"):
        ContextualDecomposition(nn.LSTM(2, 3), nn.Sequential(nn.Linear(3, 1)))
    model = make_model()
    with pytest.raises(ValueError, match="shaped like the inputs"):
        ContextualDecomposition(model.lstm, model.readout).of_phrase(model.inputs, model.inputs[:1], 0)
