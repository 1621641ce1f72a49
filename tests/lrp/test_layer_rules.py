"""Rules for affine maps, against sums over pairs of an input and an output written out one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rudder_lrp.lrp import LRP

EPS = 0.03


def up(value: float) -> float:
    return max(value, 0.0)


def down(value: float) -> float:
    return min(value, 0.0)


def safe(value: float) -> float:
    return value + EPS if value >= 0 else value - EPS


def one_output(rule: str, x: list[float], w: list[float], b: float, R: float) -> tuple[list[float], float]:
    """Relevance of each input and of the bias, for one output; inputs that do not feed it have no weight here."""
    terms = [a * v for a, v in zip(x, w, strict=True)]
    z, high, low = sum(terms) + b, sum(map(up, terms)) + up(b), sum(map(down, terms)) + down(b)
    if rule == "epsilon":
        return [t / safe(z) * R for t in terms], b / safe(z) * R
    if rule == "gamma":
        part, whole = (up, high) if z >= 0 else (down, low)
        return [(t + part(t) / 4) / safe(z + whole / 4) * R for t in terms], (b + part(b) / 4) / safe(z + whole / 4) * R
    if rule in ("alpha-beta", "z-plus"):
        alpha = 2.0 if rule == "alpha-beta" else 1.0
        shared = [alpha * up(t) / safe(high) * R - (alpha - 1) * down(t) / safe(low) * R for t in [*terms, b]]
        return shared[:-1], shared[-1]
    if rule == "flat":
        return [R / len(x) for _ in x], 0.0
    return [v * v / safe(sum(u * u for u in w)) * R for v in w], 0.0


RULES = ("epsilon", "gamma", "alpha-beta", "z-plus", "flat", "w-squared")


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), inputs=st.integers(1, 4), outputs=st.integers(1, 3), bias=st.booleans())
def test_a_linear_layer_shares_as_written_out(rule, seed, inputs, outputs, bias) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(inputs, outputs, bias=bias).double()
    x = torch.randn(2, inputs, dtype=torch.float64)
    found, ledger = LRP(nn.Sequential(layer), eps=EPS, rules={nn.Linear: rule}).attribute(x, 0, return_ledger=True)
    for b, row in enumerate(x.tolist()):
        y = float(layer(x).detach()[b, 0])
        b_0 = float(layer.bias.detach()[0]) if bias else 0.0
        expected, of_bias = one_output(rule, row, layer.weight[0].tolist(), b_0, y)
        torch.testing.assert_close(found[b], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)
        assert abs(float(ledger.biases["0"][b]) - of_bias) < 1e-9
        assert abs(float(ledger.total()[b]) - y) < 1e-9


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 2, 1, 1), (1, 2, 2, 2)])
def test_a_convolution_shares_as_written_out(rule, stride, padding, dilation, groups) -> None:
    torch.manual_seed(3)
    layer = nn.Conv1d(4, 2, 3, stride=stride, padding=padding, dilation=dilation, groups=groups).double()
    x = torch.randn(1, 4, 7, dtype=torch.float64)
    y = layer(x)
    where = (1, y.shape[2] - 1)
    found = LRP(nn.Sequential(layer), eps=EPS, rules={"0": rule}).attribute(x, where)
    expected = torch.zeros_like(x)
    places, values, weights = [], [], []
    for c in range(4 // groups):
        for k in range(3):
            at = where[1] * stride - padding + k * dilation
            if 0 <= at < 7:
                channel = c + (4 // groups) * (where[0] // (2 // groups))
                places.append((0, channel, at))
                values.append(float(x[0, channel, at]))
                weights.append(layer.weight[where[0], c, k].item())
    shared, _ = one_output(rule, values, weights, float(layer.bias.detach()[where[0]]), float(y.detach()[(0, *where)]))
    for place, part in zip(places, shared, strict=True):
        expected[place] = part
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def model(head: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), head or nn.Linear(4, 2)).double()


def explain(rules: dict, x: Tensor | None = None) -> Tensor:
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).view(2, 3) if x is None else x
    return LRP(model(), rules=rules).attribute(x, 1)


def test_names_go_before_types_and_the_first_that_fits_counts() -> None:
    by_name = explain({nn.Linear: "flat", "2": "gamma", "0": "w-squared"})
    torch.testing.assert_close(explain({"2": "gamma", "0": "w-squared"}), by_name, rtol=0, atol=0)
    torch.testing.assert_close(explain({"[02]": "flat", "0": "gamma"}), explain({nn.Linear: "flat"}), rtol=0, atol=0)
    assert not torch.equal(explain({"0": "flat"}), explain({"2": "flat"}))


def test_a_rule_of_ones_own_is_one_function() -> None:
    from rudder_lrp.lrp.layer_rules import Affine, Shared, gamma

    def own(layer: Affine, R: Tensor, eps: float) -> Shared:
        return gamma(layer, R, eps, emphasis=0.25)

    torch.testing.assert_close(explain({nn.Linear: own}), explain({nn.Linear: "gamma"}), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"nothing": "flat"}, "rules name 'nothing', but the model has no such module, only 0, 1, 2"),
        ({nn.LSTM: "half"}, "rules name 'LSTM'"),
        ({"0": "half"}, r"the rule of 0 \(Linear\) must be one of epsilon, gamma, alpha-beta.*got 'half'"),
        ({"1": "gamma"}, r"the rule of 1 \(ReLU\) must be one of all, half, prop, abs, got 'gamma'"),
    ],
)
def test_rules_that_do_not_fit_are_refused(rules, message) -> None:
    with pytest.raises(ValueError, match=message):
        explain(rules)


def test_layer_norm_shares_by_what_each_input_adds_and_may_pass_unchanged() -> None:
    torch.manual_seed(1)
    norm = nn.LayerNorm(4).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(1, 4, dtype=torch.float64)
    y = norm(x)[0].detach()
    found, ledger = LRP(nn.Sequential(norm), eps=EPS).attribute(x, 2, return_ledger=True)
    deviation = float((x.var(correction=0) + norm.eps).sqrt())
    weights = [norm.weight[2].item() / deviation * ((i == 2) - 0.25) for i in range(4)]
    expected, of_bias = one_output("epsilon", x[0].tolist(), weights, norm.bias[2].item(), float(y[2]))
    torch.testing.assert_close(found[0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-9)
    assert abs(float(ledger.biases["0"]) - of_bias) < 1e-9
    passed = LRP(nn.Sequential(norm), rules={nn.LayerNorm: "identity"}).attribute(x, 2)
    torch.testing.assert_close(passed[0], y * torch.tensor([0, 0, 1, 0]).double(), rtol=0, atol=0)


def test_batch_norm_in_evaluation_is_a_gain_and_a_bias() -> None:
    torch.manual_seed(1)
    norm = nn.BatchNorm1d(3).double().eval()
    for part in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(part)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    x = torch.randn(2, 3, dtype=torch.float64)
    y = norm(x).detach()
    found, ledger = LRP(nn.Sequential(norm), eps=EPS).attribute(x, 1, return_ledger=True)
    gain = (norm.weight[1] / (norm.running_var[1] + norm.eps).sqrt()).item()
    for b in range(2):
        z = float(y[b, 1])
        assert abs(float(found[b, 1]) - gain * float(x[b, 1]) / safe(z) * z) < 1e-9
        assert abs(float(ledger.total()[b]) - z) < 1e-9
    assert not found[:, [0, 2]].any()
