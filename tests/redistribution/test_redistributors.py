from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.lstm import LayerWeights, Structure
from rudder_lrp.prediction.predictor import ReturnPredictor
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
@settings(max_examples=15)
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


def changes_of_the_cell(predictor: ReturnPredictor, x: torch.Tensor, length: int) -> torch.Tensor:
    """Step by step, relevance `[T]` for `w . c_T`: of what a step writes, and of what its forget gate erases.

    From `R(c_T) = w c_T` backward, the linear rule shares `c_t = c_{t-1} + i_t g_t - (1 - f_t) c_{t-1}` by its terms;
    the last one, the gate's departure from an open one, is the gate's own.
    """
    weights = LayerWeights.of(predictor.lstm)
    h = c = x.new_zeros(predictor.lstm.hidden_size)
    cells, written, erased = [c], [], []
    for x_t in predictor.normalizer(x)[:length]:
        i, f, g, o = (weights.W @ x_t + weights.U @ h + weights.b).chunk(4)
        written.append(i.sigmoid() * g.tanh())
        erased.append(-(1 - f.sigmoid()) * c)
        c = c + written[-1] + erased[-1]
        h = o.sigmoid() * c.tanh()
        cells.append(c)
    R_c = predictor.readout.weight[0] * cells[-1]
    steps = x.new_zeros(len(x))
    for t in range(length - 1, -1, -1):
        steps[t] = ((written[t] + erased[t]) / cells[t + 1] * R_c).sum()
        R_c = cells[t] / cells[t + 1] * R_c
    return predictor.return_scale * steps


@pytest.mark.parametrize("structure", [Structure.LEAKY, Structure.ACCUMULATOR])
def test_lrp_with_the_open_root_equals_differences_of_predictions(structure) -> None:
    redistributor = build(LRPRedistributor, structure)
    predictor = redistributor.predictor.double()
    features = torch.randn(3, 30, len(predictor.features), dtype=torch.float64)
    lengths = torch.tensor([30, 12, 1])
    with torch.no_grad():
        relevance = redistributor.contributions(features, lengths)
        stepwise = [changes_of_the_cell(predictor, x, int(n)) for x, n in zip(features, lengths, strict=True)]
        differences = DifferenceRedistributor(predictor).contributions(features, lengths)
    torch.testing.assert_close(relevance, torch.stack(stepwise), rtol=0, atol=1e-10)
    torch.testing.assert_close(relevance, differences, rtol=0, atol=1e-10)


def test_lrp_all_on_the_accumulator_equals_differences_of_predictions() -> None:
    difference = build(DifferenceRedistributor, Structure.ACCUMULATOR)
    difference.predictor.double()
    features = torch.randn(3, 30, len(difference.predictor.features), dtype=torch.float64)
    lengths = torch.tensor([30, 12, 1])
    with torch.no_grad():
        differences = difference.contributions(features, lengths)
        explanation = LRPRedistributor(difference.predictor).explain(features, lengths)
        relevance = difference.predictor.return_scale * explanation.steps
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


@pytest.mark.parametrize("method", REDISTRIBUTORS)
def test_what_was_paid_on_the_way_stays_with_its_step(method) -> None:
    rng = np.random.default_rng(0)
    late = make_episode(rng, 10)
    paid = Episode(late.observations, late.actions, late.rewards + np.eye(10)[4])
    redistributor = build(method, Structure.LEAKY)
    shown = redistributor.predictor.features.names.index("reward")
    with torch.no_grad():  # blind to rewards, so that only their sum can change
        redistributor.predictor.lstm.get_parameter("weight_ih_l0")[:, shown] = 0.0
    one, two = (redistributor.redistribute([episode])[0] for episode in (late, paid))
    np.testing.assert_allclose(two - one, np.eye(10)[4], atol=1e-5)


def test_spread_residual_is_the_same_at_every_step() -> None:
    rng = np.random.default_rng(0)
    episode = make_episode(rng, 10)
    last = build(DifferenceRedistributor, Structure.MARKOV).redistribute([episode])[0]
    spread = build(DifferenceRedistributor, Structure.MARKOV, residual="spread").redistribute([episode])[0]
    assert np.ptp((spread - last)[:-1]) < 1e-9


def test_an_unknown_residual_placement_is_refused() -> None:
    with pytest.raises(ValueError, match="middle"):
        build(DifferenceRedistributor, Structure.MARKOV, residual="middle")
