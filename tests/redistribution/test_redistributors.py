from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.lstm import LayerWeights, Structure
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor, Redistributor, Residual
from rudder_lrp.redistribution.base import place_residual
from tests.conftest import SPACES, make_episode

REDISTRIBUTORS = [DifferenceRedistributor, LRPRedistributor]


def build(method: type[Redistributor], structure: Structure, **options: object) -> Redistributor:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure, hidden_size=6, members=2, seed=2)
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
    redistributor = build(method, Structure.MARKOV)
    assert redistributor.causal
    features = torch.randn(1, 12, len(redistributor.predictor.features))
    changed = features.clone()
    changed[:, 8:] = torch.randn(1, 4, features.shape[2])
    lengths = torch.tensor([12])
    with torch.no_grad():
        one, two = (redistributor.contributions(f, lengths)[0, :8] for f in (features, changed))
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def changes_where_they_arise(predictor: ReturnPredictor, x: torch.Tensor, length: int) -> torch.Tensor:
    """Step by step, relevance `[T]` for `w . s_T`: of what a step writes, and of what its gates let out and erase.

    From `R(s_T) = w s_T` backward, the linear rule shares each state by its terms: `c_t = c_{t-1} + i_t g_t - (1 - f_t)
    c_{t-1}`, the last one the forget gate's own, and where the output is read
    `h_t = h_{t-1} + o_t (tanh c_t - tanh c_{t-1}) + (o_t - o_{t-1}) tanh c_{t-1}`, the last one the output gate's own.
    """
    weights = LayerWeights.of(predictor.lstm)
    h = c = x.new_zeros(predictor.lstm.hidden_size)
    o = torch.ones_like(c)
    states, terms = [c], []
    for x_t in predictor.inputs(x)[:length]:
        i, f, g, opened = (weights.W @ x_t + weights.U @ h + weights.b).chunk(4)
        new = c + i.sigmoid() * g.tanh() - (1 - f.sigmoid()) * c
        if predictor.structure.reads_cell:
            terms.append([i.sigmoid() * g.tanh(), -(1 - f.sigmoid()) * c])
        else:
            terms.append([opened.sigmoid() * (new.tanh() - c.tanh()), (opened.sigmoid() - o) * c.tanh()])
        c, o = new, opened.sigmoid()
        h = o * c.tanh()
        states.append(c if predictor.structure.reads_cell else h)
    relevance = predictor.readout.weight[0] * states[-1]
    steps = x.new_zeros(len(x))
    for t in range(length - 1, -1, -1):
        steps[t] = sum((term / states[t + 1] * relevance).sum() for term in terms[t])
        relevance = states[t] / states[t + 1] * relevance
    return predictor.return_scale * steps


@pytest.mark.parametrize("structure", [s for s in Structure if s is not Structure.STANDARD])
def test_relevance_settled_where_it_arises_equals_differences_of_predictions(structure) -> None:
    redistributor = build(LRPRedistributor, structure)
    assert redistributor.causal
    predictor = redistributor.predictor.double()
    features = torch.randn(3, 30, len(predictor.features), dtype=torch.float64)
    lengths = torch.tensor([30, 12, 1])
    with torch.no_grad():
        relevance = redistributor.contributions(features, lengths)
        stepwise = [changes_where_they_arise(predictor, x, int(n)) for x, n in zip(features, lengths, strict=True)]
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
    redistributor = build(LRPRedistributor, structure, hindsight=True)
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


def test_what_the_members_do_not_agree_on_is_left_to_the_residual() -> None:
    redistributor = build(DifferenceRedistributor, Structure.MARKOV)
    redistributor.predictor.calibration.fill_(2.5)
    episode = make_episode(np.random.default_rng(0), 10)
    (rewards,), (deviation,) = redistributor.redistribute([episode], return_uncertainty=True)
    lesson = Lesson.from_episode(episode, redistributor.predictor.features)
    with torch.no_grad():
        changes = 30.0 * redistributor.predictor.member_changes(torch.from_numpy(lesson.features)[None])[0].double()
    mean, apart = changes.mean(dim=1).numpy(), changes.std(dim=1).numpy()
    np.testing.assert_allclose(deviation, 2.5 * apart, rtol=1e-6)
    kept = np.where(np.abs(mean) > apart, mean - apart**2 / mean, 0.0)
    np.testing.assert_allclose(rewards[1:-1], kept[1:-1], rtol=1e-5)
    assert np.abs(rewards[1:-1]).sum() < 0.9 * np.abs(mean[1:-1]).sum()


def test_a_single_member_is_sure_of_itself() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, hidden_size=6, members=1)
    predictor.rescale_(0.0, 1.0)
    episode = make_episode(np.random.default_rng(0), 10)
    _, (deviation,) = DifferenceRedistributor(predictor).redistribute([episode], return_uncertainty=True)
    assert not deviation.any()


def test_spread_residual_is_the_same_at_every_step() -> None:
    rng = np.random.default_rng(0)
    episode = make_episode(rng, 10)
    last = build(DifferenceRedistributor, Structure.MARKOV).redistribute([episode])[0]
    spread = build(DifferenceRedistributor, Structure.MARKOV, residual="spread").redistribute([episode])[0]
    moved = spread - last
    assert np.ptp(moved[1:-1]) < 1e-9
    assert abs(moved.sum()) < 1e-9, "what is spread is taken from where it was"
    assert moved[0] != pytest.approx(moved[1]), "the expected return no longer stands at the first step"


def test_what_is_left_goes_to_the_last_step_or_to_all_alike() -> None:
    known = np.array([1.0, -2.0, 4.0])
    assert place_residual(known, 9.0, Residual.LAST).tolist() == [1.0, -2.0, 10.0]
    assert place_residual(known, 9.0, Residual.SPREAD).tolist() == [3.0, 0.0, 6.0]
    assert known.tolist() == [1.0, -2.0, 4.0]


def test_what_is_left_goes_by_the_variance_of_what_is_in_doubt() -> None:
    known, doubt = np.array([1.0, -2.0, 4.0]), np.array([2.0, 1.0, 0.0])
    assert place_residual(known, 8.0, Residual.DOUBT, doubt).tolist() == [5.0, -1.0, 4.0]
    assert place_residual(known, 8.0, Residual.DOUBT, 1e-200 * doubt).tolist() == [5.0, -1.0, 4.0]
    for sure in (None, np.zeros(3)):
        assert place_residual(known, 8.0, Residual.DOUBT, sure).tolist() == [1.0, -2.0, 9.0]


def test_what_is_left_is_where_a_sum_that_is_known_says_that_normal_variables_are() -> None:
    rng = np.random.default_rng(0)
    mean, deviation = np.array([1.0, -2.0, 4.0]), np.array([0.5, 2.0, 1.0])
    drawn = mean + deviation * rng.normal(size=(400_000, 3))
    near = np.abs(drawn.sum(axis=1) - 5.0) < 0.05
    expected = place_residual(mean, 5.0, Residual.DOUBT, deviation)
    np.testing.assert_allclose(drawn[near].mean(axis=0), expected, atol=0.05)


def test_in_hindsight_doubt_moves_what_is_left_and_nothing_else() -> None:
    episode = make_episode(np.random.default_rng(0), 10)
    (last,), (deviation,) = build(DifferenceRedistributor, Structure.MARKOV).redistribute(
        [episode], return_uncertainty=True
    )
    (doubt,) = build(DifferenceRedistributor, Structure.MARKOV, residual="doubt").redistribute([episode])
    left = (doubt - last)[:-1].sum() / (deviation[:-1] ** 2).sum()
    np.testing.assert_allclose((doubt - last)[:-1], left * deviation[:-1] ** 2, rtol=1e-9)
    assert abs(left) > 0.0


def test_of_what_nobody_knows_each_step_earns_what_it_was_paid_and_the_residual_its_part() -> None:
    lesson = Lesson(np.zeros((4, 9), np.float32), np.array([1.0, 0.0, -2.0, 8.0]))
    at_the_end = [1.0, 0.0, -2.0, 8.0]
    for residual, expected in (("last", at_the_end), ("doubt", at_the_end), ("spread", [3.0, 2.0, 0.0, 2.0])):
        assert (
            build(DifferenceRedistributor, Structure.LEAKY, residual=residual).unexplained(lesson).tolist() == expected
        )


def test_a_batch_size_changes_no_reward_and_no_bar() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, steps) for steps in (3, 9, 4, 7, 5)]
    redistributor = build(DifferenceRedistributor, Structure.LEAKY)
    for whole, part in zip(
        redistributor.redistribute(episodes, return_uncertainty=True),
        redistributor.redistribute(episodes, batch_size=2, return_uncertainty=True),
        strict=True,
    ):
        for one, other in zip(whole, part, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_an_unknown_residual_placement_is_refused() -> None:
    with pytest.raises(ValueError, match="middle"):
        build(DifferenceRedistributor, Structure.MARKOV, residual="middle")


@pytest.mark.parametrize("residual", list(Residual))
def test_what_is_not_trusted_is_unexplained(residual) -> None:
    rng = np.random.default_rng(0)
    redistributor = build(DifferenceRedistributor, Structure.MARKOV, residual=residual)
    lessons = redistributor.lessons([make_episode(rng, steps) for steps in (3, 10)])
    whole, none = redistributor.trusted(lessons, 1.0), redistributor.trusted(lessons, 0.0)
    for at, mixed in enumerate(redistributor.trusted(lessons, 0.25)):
        np.testing.assert_allclose(whole[at], redistributor.redistribute(lessons)[at], rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(none[at], redistributor.unexplained(lessons[at]))
        np.testing.assert_allclose(mixed, 0.25 * whole[at] + 0.75 * none[at])
