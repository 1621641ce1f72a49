"""The map under a timeline is that of the credit above it, and of no other explanation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rudder_lrp.attribution import IntegratedGradients
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.episodes.timeline import NOT_FEATURES
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training import fit
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.redistribution import AttributionRedistributor, DifferenceRedistributor, LRPRedistributor
from rudder_lrp.redistribution.credit_map import credit_map
from rudder_lrp.redistribution.diagnosis import timeline
from tests.conftest import SPACES, make_episode

REDISTRIBUTORS = {
    "lrp": LRPRedistributor,
    "difference": DifferenceRedistributor,
    "integrated gradients": lambda predictor: AttributionRedistributor(
        predictor,
        IntegratedGradients(
            predictor.lstm, predictor.readout, steps=8, reads="cell" if predictor.structure.reads_cell else "hidden"
        ),
    ),
}


def trained(
    structure: Structure, observation_space=SPACES[0], members: int = 4
) -> tuple[ReturnPredictor, list[Episode]]:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, int(rng.integers(4, 20))) for _ in range(60)]
    if observation_space is not SPACES[0]:
        episodes = [
            Episode(rng.integers(256, size=(len(one) + 1, 12, 12, 3), dtype=np.uint8), one.actions, one.rewards)
            for one in episodes
        ]
    predictor = ReturnPredictor.for_spaces(observation_space, SPACES[1], structure=structure, members=members, seed=0)
    fit(predictor, episodes, TrainingConfig(updates=40))
    return predictor, episodes


@pytest.mark.parametrize("structure", list(Structure))
@pytest.mark.parametrize("credit", list(REDISTRIBUTORS))
def test_the_columns_of_the_map_sum_to_the_contributions_of_the_credit(structure, credit) -> None:
    predictor, episodes = trained(structure)
    predictor.double()
    redistributor = REDISTRIBUTORS[credit](predictor)
    batch = LessonBatch.collate([Lesson.from_episode(one, predictor.features) for one in episodes[:1]])
    features = batch.features.double()
    contributions = redistributor.contributions(features, batch.lengths)
    parts = credit_map(redistributor, features, batch.lengths)
    torch.testing.assert_close(parts.total(), contributions, rtol=1e-9, atol=1e-9)
    assert parts.features.abs().sum() > 0.1 * contributions.abs().sum()


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("structure", [Structure.LEAKY, Structure.ACCUMULATOR, Structure.MARKOV])
def test_in_a_timeline_only_the_last_step_has_anything_left_over(structure, members) -> None:
    predictor, episodes = trained(structure, members=members)
    shown = timeline(LRPRedistributor(predictor), Lesson.from_episode(episodes[0], predictor.features))
    assert shown.relevance is not None
    left = shown.relevance[:, list(shown.feature_names).index("left over")]
    scale = np.abs(shown.redistributed).max()
    assert np.abs(left[:-1]).max() < 1e-5 * scale
    if members == 1:  # nothing is withheld, so what is left is what the prediction missed
        assert abs(left[-1]) == pytest.approx(abs(shown.rewards.sum() - shown.predictions[-1]), abs=1e-4 * scale)
    np.testing.assert_allclose(shown.relevance.sum(axis=1), shown.redistributed, atol=1e-9 * scale)


@pytest.mark.parametrize("members", [1, 4])
def test_a_timeline_has_the_error_bars_of_what_is_handed_out(members) -> None:
    predictor, episodes = trained(Structure.MARKOV, members=members)
    lesson, redistributor = Lesson.from_episode(episodes[0], predictor.features), LRPRedistributor(predictor)
    _, (uncertainty,) = redistributor.redistribute([lesson], return_uncertainty=True)
    shown = timeline(redistributor, lesson).uncertainty
    if members == 1:
        assert shown is None
    else:
        np.testing.assert_array_equal(shown, uncertainty)
        assert shown.min() > 0.0


def test_the_relevance_of_an_image_reaches_its_cells_without_loss() -> None:
    space = spaces.Box(0, 255, (12, 12, 3), np.uint8)
    predictor, episodes = trained(Structure.LEAKY, space)
    predictor.double()
    lesson = Lesson.from_episode(episodes[0], predictor.features)
    batch = LessonBatch.collate([lesson])
    redistributor = LRPRedistributor(predictor)
    parts = credit_map(redistributor, batch.features.double(), batch.lengths)
    contributions = redistributor.contributions(batch.features.double(), batch.lengths)
    torch.testing.assert_close(parts.total(), contributions, rtol=1e-4, atol=1e-5)
    seen, relevance = timeline(LRPRedistributor(predictor.float()), lesson).images[0]
    assert seen.shape == relevance.shape == (len(lesson), 12, 12)
    assert 0.0 <= seen.min() <= seen.max() <= 1.0


def test_what_a_forget_gate_erases_belongs_to_what_closed_it() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=Structure.LEAKY, hidden_size=1, members=1, clock=0)
    hidden = predictor.lstm
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            hidden.get_parameter(name).zero_()
        W = hidden.get_parameter("weight_ih_l0")
        hidden.get_parameter("bias_ih_l0")[0] = 40.0  # the input gate is open
        W[1, 0], W[1, 1] = -3.0, 3.0  # the first feature closes the forget gate, the second holds it open
        W[2, 2] = 1.0  # the third is written
        predictor.return_scale.fill_(1.0)
        predictor.readout.weight.fill_(1.0)
        predictor.readout.bias.zero_()
    predictor.constrain_()
    features = torch.zeros(1, 2, len(predictor.features))
    features[0, 0, 2], features[0, 1, 0], features[0, 1, 1] = 0.5, 1.0, 0.2
    parts = credit_map(LRPRedistributor(predictor), features, torch.tensor([2]))
    written = float(torch.tensor(0.5).tanh())
    assert float(parts.features[0, 0, 2]) == pytest.approx(written)
    kept = float(torch.tensor(-3.0 + 0.6).sigmoid())
    assert float(parts.features[0, 1, 0]) == pytest.approx((kept - 1.0) * written, rel=1e-5)
    assert float(parts.features[0, 1, 1]) == 0.0


def test_what_is_no_feature_is_named_last() -> None:
    predictor, episodes = trained(Structure.LEAKY)
    shown = timeline(LRPRedistributor(predictor), Lesson.from_episode(episodes[0], predictor.features))
    assert tuple(shown.feature_names[-len(NOT_FEATURES) :]) == NOT_FEATURES
