from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rudder_lrp.lstm import Structure
from rudder_lrp.predictor import ReturnPredictor
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor, Redistributor, Residual
from tests.conftest import SPACES, make_episode

REDISTRIBUTORS = [DifferenceRedistributor, LRPRedistributor]


def build(method: type[Redistributor], structure: Structure, **options: object) -> Redistributor:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure, hidden_size=6, seed=2)
    predictor.rescale_(mean=-40.0, scale=30.0)
    return method(predictor, **options)


@pytest.mark.parametrize("residual", list(Residual))
@pytest.mark.parametrize("structure", list(Structure))
@pytest.mark.parametrize("method", REDISTRIBUTORS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_rewards_sum_to_the_true_return(method, structure, residual, data) -> None:
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    scale = data.draw(st.sampled_from([1e-3, 1.0, 1e4]))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    episodes = [make_episode(rng, steps, rng.normal(size=steps) * scale) for steps in lengths]
    for episode, rewards in zip(
        episodes, build(method, structure, residual=residual).redistribute(episodes), strict=True
    ):
        assert rewards.shape == (len(episode),)
        magnitude = np.abs(rewards).sum() + abs(episode.episode_return)
        assert abs(rewards.sum() - episode.episode_return) <= 1e-5 * magnitude


@pytest.mark.parametrize("structure", list(Structure))
@pytest.mark.parametrize("method", REDISTRIBUTORS)
def test_an_episode_gets_the_same_rewards_alone_and_in_any_batch(method, structure) -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, steps) for steps in (3, 17, 1, 8)]
    redistributor = build(method, structure)
    together = redistributor.redistribute(episodes)
    for episode, rewards in zip(episodes, together, strict=True):
        np.testing.assert_allclose(redistributor.redistribute([episode])[0], rewards, atol=1e-4)


@pytest.mark.parametrize("method", REDISTRIBUTORS)
def test_causal_rewards_do_not_depend_on_what_comes_later(method) -> None:
    redistributor = build(method, Structure.ACCUMULATOR)
    assert redistributor.causal
    features = torch.randn(1, 12, len(redistributor.predictor.features))
    changed = features.clone()
    changed[:, 8:] = torch.randn(1, 4, features.shape[2])
    lengths = torch.tensor([12])
    with torch.no_grad():
        one, two = (redistributor.contributions(f, lengths)[0, :8] for f in (features, changed))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_lrp_on_the_accumulator_equals_differences_of_predictions() -> None:
    difference = build(DifferenceRedistributor, Structure.ACCUMULATOR)
    difference.predictor.double()
    features = torch.randn(3, 30, len(difference.predictor.features), dtype=torch.float64)
    lengths = torch.tensor([30, 12, 1])
    with torch.no_grad():
        differences = difference.contributions(features, lengths)
        relevance = LRPRedistributor(difference.predictor).contributions(features, lengths)
    torch.testing.assert_close(relevance, differences, rtol=0, atol=1e-10)


@pytest.mark.parametrize("structure", [Structure.MARKOV, Structure.ACCUMULATOR])
def test_closed_form_relevance_sums_to_the_prediction_without_the_readout_bias(structure) -> None:
    redistributor = build(LRPRedistributor, structure)
    predictor = redistributor.predictor.double()
    features = torch.randn(2, 300, len(predictor.features), dtype=torch.float64)
    lengths = torch.tensor([300, 120])
    with torch.no_grad():
        total = redistributor.contributions(features, lengths).sum(1)
        last = predictor(features)[[0, 1], lengths - 1]
    torch.testing.assert_close(total, predictor.return_scale * (last - predictor.readout.bias), rtol=0, atol=1e-10)


def test_spread_residual_is_the_same_at_every_step() -> None:
    rng = np.random.default_rng(0)
    episode = make_episode(rng, 10)
    last = build(DifferenceRedistributor, Structure.MARKOV).redistribute([episode])[0]
    spread = build(DifferenceRedistributor, Structure.MARKOV, residual="spread").redistribute([episode])[0]
    assert np.ptp((spread - last)[:-1]) < 1e-9


def test_an_unknown_residual_placement_is_refused() -> None:
    with pytest.raises(ValueError, match="middle"):
        build(DifferenceRedistributor, Structure.MARKOV, residual="middle")
