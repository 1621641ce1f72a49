"""Sums and products in a model's `forward`: linear ones by epsilon, gated ones by the gate rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rudder_lrp.lrp.owners import pulled
from rudder_lrp.lrp.recorder import Call, Owners, absorbed, without_rule
from rudder_lrp.lrp.rules import GateRule, halves, sign, signal_takes_all, stabilize
from rudder_lrp.lrp.tape import Owner, Passed, Value


def adding(call: Call) -> Tensor:
    """A sum or difference of two terms, by epsilon; constants are listed."""
    first, second, factor = _terms(call)
    if factor[1] == -1.0 and _opens(call, first, second):
        return _complement(call, second)
    z = call.run().detach()
    values = [call.value(part) for part in (first, second)]
    operands = [value for value in values if value is not None]
    terms = [part if value is None else value.value for part, value in zip((first, second), values, strict=True)]

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        R = arriving[0]
        assert R is not None
        s = R / stabilize(z, call.recorder.composite.eps)
        parts: list[Tensor | None] = []
        kept = absorbed("stabilizers", call.recorder.composite.eps * sign(z) * s, account)
        for part, weight, value in zip(terms, factor, values, strict=True):
            # Where nothing arrives nothing is shared, also of a term that is infinite, as in a mask of scores.
            of_part = torch.where(s == 0.0, s, weight * part * s)
            if value is None:
                kept += absorbed("constants", of_part, account)
            else:
                parts.append(of_part.sum_to_size(value.value.shape))
        return Passed(parts, kept)

    return call.emit([Value(z)], operands, back)[0]


def _terms(call: Call) -> tuple[Any, Any, tuple[float, float]]:
    options = call.arguments("input", "other", "alpha")
    first, second = list(options.values())[:2]
    alpha = options.get("alpha", 1)
    if call.name == "rsub":
        return second, first, (1.0, -alpha)
    return first, second, (1.0, alpha if call.name in ("add", "radd") else -alpha)


def _opens(call: Call, number: Any, gate: Any) -> bool:
    value = call.value(gate)
    return value is not None and value.gate and not isinstance(number, Tensor) and number == 1


def _complement(call: Call, gate: Tensor) -> Tensor:
    """`1 - gate`, which is a gate with the opposite pre-activation."""
    value = call.value(gate)
    assert value is not None
    output = Value(call.run().detach(), -value.before, gate=True)
    return call.emit([output], [value], lambda arriving, _: Passed(arriving, []))[0]


def multiplying(call: Call) -> Tensor:
    """A product: what a constant scales takes all; of two that depend on the inputs by the gate rule."""
    first, second = [part for part in call.args if isinstance(part, Tensor | int | float)][:2]
    values = [value for part in (first, second) if (value := call.value(part))]
    outcome = call.run().detach()
    if len(values) == 1:
        return _scaled(call, values[0], outcome)
    gate, signal, rule = _roles(call, values)

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        R = arriving[0]
        assert R is not None
        if rule is signal_takes_all:
            return Passed([None, R.sum_to_size(signal.value.shape)], [])
        before = torch.broadcast_tensors(gate.before, signal.before)
        shares = rule(before[0], before[1], call.recorder.composite.eps)
        # A masked score is infinite, but nothing arrives there.
        of_gate, of_signal = (torch.where(R == 0.0, 0.0, share) * R for share in shares)
        parts: list[Tensor | None] = [of_gate.sum_to_size(gate.value.shape), of_signal.sum_to_size(signal.value.shape)]
        return Passed(parts, absorbed("stabilizers", R - of_gate - of_signal, account))

    output = Value(outcome, gate=gate.gate and signal.gate)
    return call.emit([output], [gate, signal], back)[0]


def _scaled(call: Call, value: Value, outcome: Tensor) -> Tensor:
    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        assert arriving[0] is not None
        return Passed([arriving[0].sum_to_size(value.value.shape)], [])

    before = value.before.expand_as(outcome) if value.gate else None
    return call.emit([Value(outcome, before, value.gate)], [value], back)[0]


def _roles(call: Call, values: list[Value]) -> tuple[Value, Value, GateRule]:
    """Gate, signal and how they share; where neither or both are gates, half each."""
    gate, signal = values if values[0].gate else values[::-1]
    place = call.place()
    if gate.gate == signal.gate:
        return gate, signal, halves
    return gate, signal, call.recorder.composite.gate_rule(place.name, place.kind)


def dividing(call: Call) -> Any:
    """The numerator takes all, by whatever it is divided; of a constant over something the latter."""
    if call.kwargs.get("rounding_mode"):
        return without_rule(call)
    numerator, divisor = call.args[:2] if call.name != "rdiv" else call.args[1::-1]
    value = call.value(numerator) or call.value(divisor)
    assert value is not None
    return _scaled(call, value, call.run().detach())


def summing(call: Call) -> Tensor:
    """A linear map without parameters of its own, such as a mean or a product with a constant matrix, by epsilon."""
    tracked = call.tracked()
    if len(tracked) > 1:
        return bilinear(call) if len(tracked) == 2 else without_rule(call)
    x, value = call.first()
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        z = call.run({id(x): leaf})

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        assert arriving[0] is not None
        s = arriving[0] / stabilize(z.detach(), call.recorder.composite.eps)
        (per_input,) = torch.autograd.grad(z, leaf, s)
        return Passed(
            [leaf.detach() * per_input],
            absorbed("stabilizers", call.recorder.composite.eps * sign(z.detach()) * s, account),
        )

    return call.emit([Value(z.detach(), gate=value.gate)], [value], back, _of_sum(call, [x]))[0]


def _of_sum(call: Call, operands: list[Tensor]) -> Owners:
    """Examples through a sum, by its adjoint with all weights one."""

    def owners(arriving: list[Owner | None]) -> list[Owner | None]:
        ones = {id(part): torch.ones_like(part) for part in call.tensors() if part.is_floating_point()}
        leaves = [ones[id(part)].requires_grad_() for part in operands]
        with torch.enable_grad():
            return pulled([call.run(ones)], leaves, arriving)

    return owners


def bilinear(call: Call) -> Tensor:
    """A product of matrices that both depend on the inputs, as in attention: products and a sum over them."""
    first, second = call.tracked()[:2]
    values = [value for part in (first, second) if (value := call.value(part))]
    gate, signal, rule = _roles(call, values)
    if rule not in (signal_takes_all, halves):
        return _product_by_product(call, first, second)
    leaves = {id(part): part.detach().requires_grad_() for part in (first, second)}
    with torch.enable_grad():
        z = call.run(leaves)
    shares = {gate: 0.0 if rule is signal_takes_all else 0.5, signal: 1.0 if rule is signal_takes_all else 0.5}

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        assert arriving[0] is not None
        s = arriving[0] / stabilize(z.detach(), call.recorder.composite.eps)
        per_input = torch.autograd.grad(z, list(leaves.values()), s)
        parts: list[Tensor | None] = [
            share * value.value * part if (share := shares[value]) else None
            for value, part in zip(values, per_input, strict=True)
        ]
        return Passed(parts, absorbed("stabilizers", call.recorder.composite.eps * sign(z.detach()) * s, account))

    return call.emit([Value(z.detach())], values, back, _of_sum(call, [first, second]))[0]


def _product_by_product(call: Call, first: Tensor, second: Tensor) -> Tensor:
    """`[..., n, k] @ [..., k, m]` spelled out, for gate rules that look at each pair of factors."""
    if call.name not in ("matmul", "bmm", "rmatmul") or min(first.ndim, second.ndim) < 2:
        raise call.refuse(
            "multiplies under a gate rule that looks at pairs of factors; use torch.matmul, or rule='all'"
        )
    record = call.recorder.dispatch
    rows = record(Call(call.recorder, Tensor.unsqueeze, "unsqueeze", (first, -1), {}))
    columns = record(Call(call.recorder, Tensor.unsqueeze, "unsqueeze", (second, -3), {}))
    products = record(Call(call.recorder, Tensor.mul, "mul", (rows, columns), {}))
    outcome: Tensor = record(Call(call.recorder, Tensor.sum, "sum", (products, -2), {}))
    return outcome
