from __future__ import annotations

import numpy as np
import pytest
import torch

from rudder_lrp.attribution import IntegratedGradients
from rudder_lrp.lrp import LRP
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import AttributionRedistributor, LRPRedistributor
from tests.conftest import SPACES, make_episode


def predictor_of(structure: Structure) -> ReturnPredictor:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure, hidden_size=6, members=1, clock=0, seed=2)
    predictor.rescale_(mean=-40.0, scale=30.0)
    return predictor


def test_lrp_as_an_attribution_is_lrp_as_a_redistribution() -> None:
    predictor = predictor_of(Structure.MARKOV)
    episodes = [make_episode(np.random.default_rng(0), steps) for steps in (9, 4)]
    ours = AttributionRedistributor(predictor, LRP(predictor.lstm, predictor.readout, eps=1e-9)).redistribute(episodes)
    for rewards, known in zip(
        ours, LRPRedistributor(predictor, hindsight=True, eps=1e-9).redistribute(episodes), strict=True
    ):
        np.testing.assert_allclose(rewards, known, atol=1e-5)


@pytest.mark.parametrize("structure", [Structure.STANDARD, Structure.LEAKY])
def test_integrated_gradients_sum_to_the_prediction_less_that_of_nothing(structure: Structure) -> None:
    predictor = predictor_of(structure).double()
    reads = "cell" if structure.reads_cell else "hidden"
    attribution = IntegratedGradients(predictor.lstm, predictor.readout, steps=64, reads=reads)
    redistributor = AttributionRedistributor(predictor, attribution)
    features = torch.randn(2, 12, len(predictor.features), dtype=torch.float64)
    lengths = torch.tensor([12, 7])
    with torch.no_grad():
        found = redistributor.contributions(features, lengths)
        last = predictor(features)[[0, 1], lengths - 1]
        mean = predictor.normalizer.mean.double().expand_as(features)
        nothing = predictor(mean)[[0, 1], lengths - 1]
    torch.testing.assert_close(found.sum(1), predictor.return_scale * (last - nothing), rtol=0, atol=1e-5)
    assert not found[1, 7:].any()
    assert not redistributor.causal


@pytest.mark.parametrize("eps", [1e-3, 0.5])
def test_in_hindsight_a_step_earns_its_relevance_by_the_eps_that_is_asked_for(eps) -> None:
    predictor = predictor_of(Structure.STANDARD)
    features, lengths = torch.randn(3, 7, len(predictor.features)), torch.tensor([7, 4, 1])
    redistributor = LRPRedistributor(predictor, eps=eps, tolerance=float("inf"))
    own = LRP(predictor.lstm, predictor.readout, eps=eps).explain(features, lengths=lengths)
    with torch.no_grad():
        found = redistributor.contributions(features, lengths)
    torch.testing.assert_close(found, 30.0 * own.steps.double())


def test_an_episode_whose_relevance_leaks_too_much_earns_differences() -> None:
    """A tolerance between the shares that two episodes lose parts them."""
    predictor = predictor_of(Structure.STANDARD)
    features, lengths = torch.randn(6, 9, len(predictor.features)), torch.tensor([9, 4, 2, 9, 7, 3])
    with torch.no_grad():
        relevance, differences = (
            LRPRedistributor(predictor, eps=0.3, tolerance=tolerance).contributions(features, lengths)
            for tolerance in (float("inf"), 0.0)
        )
        lost = ((relevance - differences).sum(1) / differences.sum(1)).abs()
        bounds = lost.sort().values
        found = LRPRedistributor(predictor, eps=0.3, tolerance=float(bounds[2:4].mean())).contributions(
            features, lengths
        )
    leaks = (lost > bounds[2])[:, None]
    torch.testing.assert_close(found, torch.where(leaks, differences, relevance), rtol=0, atol=0)
    torch.testing.assert_close(differences, LRPRedistributor(predictor).differences(features, lengths))


def test_the_relevance_of_the_clock_stands_in_a_column_of_its_own() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure="standard", hidden_size=6, members=1, clock=3, seed=2)
    features, lengths = torch.randn(2, 7, len(predictor.features)), torch.tensor([7, 4])
    found = LRPRedistributor(predictor).explain(features, lengths).inputs
    with_clock = predictor.with_clock(features)
    own = LRP(predictor.lstm, predictor.readout).attribute(with_clock, lengths=lengths)
    torch.testing.assert_close(found[..., :-1], own[..., :-6])
    torch.testing.assert_close(found[..., -1], own[..., -6:].sum(-1))
    assert found[0, :, -1].any()
