"""Where the credit of a step comes from: its own features, and what is no feature of it. Sums to the credit.

Causal credit is what a step changed in the prediction, `y_t - y_{t-1}`. With `k_t` the weight that a cell state has in
the prediction (the readout's own where it reads the cell, else `w o_t tanh(c_t) / c_t`), that is, cell by cell,

    k_t c_t - k_{t-1} c_{t-1} = k_t i_t g_t + (k_t f_t - k_{t-1}) c_{t-1},

what the step wrote, and what it changed in what was remembered. What it wrote belongs to the inputs of the cell
(LRP-all, linear rule). Where the output gate is always open, the change is what the forget gate erased, and belongs to
the inputs that closed it, in proportion (the rule alpha 1, beta 0 of Bach et al. 2015); else it is memory's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rudder_lrp.lstm import Gate, LayerWeights
from rudder_lrp.prediction.cells import scan
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution.attributed import AttributionRedistributor
from rudder_lrp.redistribution.base import PredictorRedistributor
from rudder_lrp.redistribution.lrp import LRPRedistributor

_EPS = 1e-6  # of the convolutional network that encodes images


class CreditMap(NamedTuple):
    """Contributions to the prediction, in return units; in the sum over all three, a step's contribution."""

    features: Tensor
    """Of each feature at each step, and of the clock if there is one, `[B, T, F + 1]`."""
    memory: Tensor
    """Of what was remembered from earlier steps, `[B, T]`."""
    bias: Tensor
    """Of the biases and stabilizers, `[B, T]`."""

    def weighted(self, weights: Tensor) -> CreditMap:
        """The same with all parts of a step multiplied by one weight, `[B, T]`."""
        return CreditMap(self.features * weights[..., None], self.memory * weights, self.bias * weights)

    def total(self) -> Tensor:
        """The contribution of each step, `[B, T]`."""
        return self.features.sum(dim=2) + self.memory + self.bias


@torch.no_grad()
def credit_map(redistributor: PredictorRedistributor, features: Tensor, lengths: Tensor) -> CreditMap:
    """Where the contributions of a redistribution come from.

    Args:
        redistributor: whose `contributions` are taken apart.
        features: `[B, T, F]`, not normalised.
        lengths: `[B]`.
    """
    predictor = redistributor.predictor
    features = features.to(predictor.device)
    if isinstance(redistributor, AttributionRedistributor):
        with torch.enable_grad():
            relevance = redistributor.attribution.attribute(predictor.inputs(features), lengths=lengths)
        parts = CreditMap(relevance, *relevance.new_zeros(2, *features.shape[:2]))
    elif _is_difference(redistributor, features, lengths):
        parts = _of_changes(predictor, predictor.inputs(features))
    else:
        assert isinstance(redistributor, LRPRedistributor)
        explanation = redistributor.explain(features, lengths)
        bias = explanation.steps - explanation.inputs.sum(dim=2)
        return _scaled(CreditMap(explanation.inputs, torch.zeros_like(bias), bias), predictor)
    width = predictor.encoder.out_features
    relevance = predictor.encoder.propagate(predictor.normalizer(features), parts.features[..., :width], _EPS)
    if predictor.clock.out_features:
        relevance = torch.cat([relevance, parts.features[..., width:].sum(dim=-1, keepdim=True)], dim=-1)
    return _scaled(parts._replace(features=relevance), predictor)


def _is_difference(redistributor: PredictorRedistributor, features: Tensor, lengths: Tensor) -> bool:
    """Whether it hands out differences of predictions, be it always or for want of anything better."""
    if redistributor.causal:
        return True
    contributions = redistributor.contributions(features, lengths)
    return torch.equal(contributions, redistributor.differences(features, lengths))


def _scaled(parts: CreditMap, predictor: ReturnPredictor) -> CreditMap:
    return CreditMap(*(predictor.return_scale * part.cpu().double() for part in parts))


class _Trace(NamedTuple):
    """What happens in the cells, `[B, T, H]` each."""

    x: Tensor
    """What the LSTM takes, `[B, T, F]`."""
    previous_h: Tensor
    previous_c: Tensor
    z: Tensor
    """Pre-activations of i, f, g and o, `[B, T, 4 H]`."""
    weight: Tensor
    """That of the cell state in the prediction."""

    def of(self, gate: Gate) -> Tensor:
        """Pre-activation of one gate."""
        return self.z.chunk(4, dim=-1)[gate]


def _trace(predictor: ReturnPredictor, x: Tensor) -> _Trace:
    weights = LayerWeights.of(predictor.lstm)
    h = _shifted(predictor.lstm(x)[0])
    z = x @ weights.W.T + h @ weights.U.T + weights.b
    i, f, g, o = z.chunk(4, dim=-1)
    c = scan(f.sigmoid(), i.sigmoid() * g.tanh())
    weight = predictor.readout.weight[0].expand_as(c)
    if not predictor.structure.reads_cell:
        weight = weight * o.sigmoid() * _ratio(c)
    return _Trace(x, h, _shifted(c), z, weight)


def _shifted(values: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], dim=1)


def _ratio(z: Tensor) -> Tensor:
    """`tanh(z) / z`, 1 at 0."""
    return torch.where(z.abs() < 1e-4, torch.ones_like(z), z.tanh() / torch.where(z == 0.0, torch.ones_like(z), z))


def _of_changes(predictor: ReturnPredictor, x: Tensor) -> CreditMap:
    trace, weights = _trace(predictor, x), LayerWeights.of(predictor.lstm)
    cell = weights.rows(Gate.G)
    per_unit = trace.weight * trace.of(Gate.I).sigmoid() * _ratio(trace.of(Gate.G))
    written = CreditMap(
        trace.x * (per_unit @ cell.W),
        (per_unit * (trace.previous_h @ cell.U.T)).sum(dim=2),
        per_unit @ cell.b,
    )
    kept = trace.weight * trace.of(Gate.F).sigmoid() - _shifted(trace.weight)
    changed = kept * trace.previous_c
    if not predictor.structure.reads_cell:
        return written._replace(memory=written.memory + changed.sum(dim=2))
    erased = _to_what_closed(changed, trace, weights.rows(Gate.F))
    return CreditMap(*(one + other for one, other in zip(written, erased, strict=True)))


def _to_what_closed(erased: Tensor, trace: _Trace, gate: LayerWeights) -> CreditMap:
    """Share what the forget gates erased `[B, T, H]` among all that closed them."""
    from_x = (-trace.x[:, :, None] * gate.W).clamp_min(0.0)
    from_h = (-trace.previous_h[:, :, None] * gate.U).clamp_min(0.0).sum(dim=3)
    from_bias = (-gate.b).clamp_min(0.0)
    total = from_x.sum(dim=3) + from_h + from_bias
    share = torch.where(total > 0.0, erased / total.clamp_min(1e-30), torch.zeros_like(total))
    unshared = torch.where(total > 0.0, torch.zeros_like(erased), erased)
    return CreditMap(
        (share[..., None] * from_x).sum(dim=2),
        (share * from_h + unshared).sum(dim=2),
        (share * from_bias).sum(dim=2),
    )
