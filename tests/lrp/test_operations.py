"""Single operations of whole models, worked out by hand or against the recurrent front door."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rudder_lrp.lrp import LRP
from tests.lrp.grammar import Function, balanced, inputs

OF_GATE = {
    "half": lambda x, A: 0.5 + 0 * x,
    "abs": lambda x, A: abs(x) / (abs(x) + abs(A)),
    "prop": lambda x, A: x / (x + A),
}


@pytest.mark.parametrize("rule", list(OF_GATE))
def test_factors_of_a_product_of_two_matrices_share_pair_by_pair(rule) -> None:
    """`y_j = sum_k sigmoid(x_k) A_kj` with `A = a(x)`: each pair of factors has its part of `y_j`, and shares it."""
    torch.manual_seed(0)
    model = Function(lambda m, x: x.sigmoid() @ m.a(x).view(3, 2), a=nn.Linear(3, 6, bias=False))
    x = inputs(1, 3)
    found = LRP(model, rule=rule, eps=1e-12).attribute(x, 1)
    row, weight = x[0].numpy(), model.a.weight.detach().numpy().reshape(3, 2, 3)[:, 1]
    A = weight @ row
    parts, of_gate = A / (1 + np.exp(-row)), OF_GATE[rule](row, A)
    expected = of_gate * parts + ((1 - of_gate) * parts / A) @ (weight * row)
    np.testing.assert_allclose(found[0], expected, atol=1e-8)


@pytest.mark.parametrize("target", [(0, 0), (0, 1), (4, 0)])
def test_the_first_of_several_places_can_be_explained(target) -> None:
    model = Function(lambda m, x: m.head(m.core(x)[0]), core=nn.GRU(3, 4, batch_first=True), head=nn.Linear(4, 2))
    found, _ = balanced(model, inputs(2, 5, 3), target)
    assert found[:, target[0]].any()
    assert not found[:, target[0] + 1 :].any()


@pytest.mark.parametrize("target", [(5, 0), (0, 2), (-1, 0), (0,), (0, 0, 0), (0.0, 0)])
def test_places_that_there_are_not_are_refused(target) -> None:
    model = Function(lambda m, x: m.head(x), head=nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"must be a tuple \(0 to 4, 0 to 1\) for outputs \[B, 5, 2\], got"):
        LRP(model).attribute(inputs(2, 5, 3), target)


SHAPED: dict[str, object] = {
    "expanded": lambda m, x: m.head(x.mean(1, keepdim=True).expand_as(x)[:, 0]),
    "viewed": lambda m, x: m.head((2.0 * x).flatten(1).view_as(x).sum(1)),
    "reshaped": lambda m, x: m.head((2.0 * x).flatten(1).reshape_as(x).sum(1)),
}


@pytest.mark.parametrize("name", list(SHAPED))
def test_a_tensor_that_lends_its_shape_alone_earns_nothing_for_it(name) -> None:
    model, x = Function(SHAPED[name], head=nn.Linear(3, 2)), inputs(2, 4, 3)
    found, _ = balanced(model, x, 1, eps=1e-12)
    scale = 0.25 if name == "expanded" else 2.0
    plain = Function(lambda m, x: m.head(scale * x.sum(1)), head=model.head)
    torch.testing.assert_close(found, LRP(plain, eps=1e-12).attribute(x, 1), rtol=0, atol=1e-8)


def test_dropout_that_drops_nothing_is_passed_even_in_training() -> None:
    head, x = nn.Linear(3, 2), inputs(2, 4, 3)
    found, _ = balanced(Function(lambda m, x: m.head(nn.functional.dropout(x, 0.0).sum(1)), head=head), x, 1)
    assert torch.equal(found, LRP(Function(lambda m, x: m.head(x.sum(1)), head=head)).attribute(x, 1))


def test_what_earns_nothing_gets_zeros_of_its_own_whatever_device_is_the_default() -> None:
    model, x = Function(lambda m, x, y: m.head(x.sum(1)), head=nn.Linear(3, 2)), (inputs(2, 4, 3), inputs(2, 5))
    with torch.device("meta"):
        _, of_unused = LRP(model).attribute(x, 1)
    assert torch.equal(of_unused, torch.zeros(2, 5, dtype=torch.float64))


@pytest.mark.parametrize("core", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("bias", [False, True])
def test_a_recurrent_layer_with_and_without_biases_gets_what_the_front_door_gives(core, bias) -> None:
    torch.manual_seed(0)
    layer = core(3, 4, batch_first=True, bias=bias).double()
    head, x = nn.Linear(4, 2).double(), inputs(2, 5, 3)
    found, ledger = balanced(Function(lambda m, x: m.head(m.core(x)[0][:, -1]), core=layer, head=head), x, 1)
    torch.testing.assert_close(found, LRP(layer, head).attribute(x, 1), rtol=0, atol=1e-11)
    assert bool(ledger.biases["core"].any()) is bias


def mean_and_deviation(x: Tensor) -> Tensor:
    return torch.cat([x.mean(1), (x - x.mean(1, keepdim=True)).square().mean(1)], 1)


def test_relevance_of_a_difference_from_the_mean_reaches_every_step() -> None:
    model = Function(lambda m, x: m.head(mean_and_deviation(x)), head=nn.Linear(6, 2))
    found, _ = balanced(model, inputs(2, 4, 3), 0)
    assert found.ne(0).all()


NORMALISED = {
    "by names": lambda m, x: nn.functional.layer_norm(x, (3,), weight=m.norm.weight, bias=m.norm.bias),
    "by places": lambda m, x: nn.functional.layer_norm(x, (3,), m.norm.weight, m.norm.bias, 1e-5),
    "by the kernel": lambda m, x: torch.layer_norm(x, (3,), m.norm.weight, m.norm.bias, 1e-5),
}


@pytest.mark.parametrize("name", list(NORMALISED))
def test_a_norm_shares_alike_however_it_is_called(name) -> None:
    norm, x = nn.LayerNorm(3), inputs(2, 3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    expected = LRP(Function(lambda m, x: m.norm(x), norm=norm)).attribute(x, 1)
    found, _ = balanced(Function(NORMALISED[name], norm=norm), x, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_an_input_that_reaches_no_output_earns_nothing() -> None:
    used, unused = inputs(2, 3), inputs(2, 5)
    model = Function(lambda m, x, y: m.head(x) + 0.0 * len(y), head=nn.Linear(3, 2))
    found, ledger = LRP(model).attribute((used, unused), 1, return_ledger=True)
    assert found[0].any()
    assert found[1].tolist() == torch.zeros(2, 5).tolist()
    torch.testing.assert_close(ledger.inputs, found[0].sum(1), rtol=0, atol=1e-12)


def test_the_accounts_of_a_model_are_the_sums_of_its_ledger() -> None:
    core, head = nn.LSTM(3, 3, batch_first=True), nn.Linear(3, 2)
    model = Function(lambda m, x: m.head(m.core(x)[0][:, -1] + 1.0), core=core, head=head)
    _, ledger = balanced(model, inputs(2, 4, 3), 1, rule="half")
    found = ledger.accounts()
    assert list(found) == ["inputs", "biases", "stabilizers", "initial_states", "constants"]
    torch.testing.assert_close(found["inputs"], ledger.inputs, rtol=0, atol=0)
    torch.testing.assert_close(found["biases"], ledger.biases["core"] + ledger.biases["head"], rtol=0, atol=1e-15)
    torch.testing.assert_close(sum(found.values()), ledger.total(), rtol=0, atol=1e-12)
