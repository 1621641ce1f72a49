from __future__ import annotations

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.predictor import Head, ReturnPredictor
from rudder_lrp.prediction.training import Trainer
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig
from tests.conftest import SPACES


def sums_of_steps(count: int, seed: int) -> tuple[LessonBuffer, list[np.ndarray]]:
    """Episodes of 40 steps, each worth a bend of its first feature and three more, all paid at the end."""
    rng, buffer, worth = np.random.default_rng(seed), LessonBuffer(200, holdout_every=1000), []
    n_features = len(ReturnPredictor.for_spaces(*SPACES).features)
    for _ in range(count):
        features = (rng.normal(size=(40, n_features)) + rng.normal(size=n_features)).astype(np.float32)
        worth.append(3.0 + np.tanh(features[:, 0].astype(np.float64)))
        buffer.add(Lesson(features, np.append(np.zeros(39), worth[-1].sum())))
    return buffer, worth


def learnt_from_subsets(seed: int) -> float:
    """Correlation of the share of single steps with their worth, on episodes that were not learnt from."""
    predictor = ReturnPredictor.for_spaces(
        *SPACES, hidden_size=32, structure=Structure.ACCUMULATOR, clock=0, members=1, seed=seed
    )
    Trainer(predictor, SUBSETS).train(sums_of_steps(60, seed)[0])
    fresh, worth = sums_of_steps(10, seed + 100)
    batch = LessonBatch.collate([*fresh.training, *fresh.held_out])
    with torch.no_grad():
        shares = predictor.member_changes(batch.features, Head.SHARE)[..., 0].numpy()
    return float(np.corrcoef(shares.ravel(), np.concatenate(worth))[0, 1])


def test_subsets_of_the_steps_teach_what_single_steps_are_worth() -> None:
    found = [learnt_from_subsets(seed) for seed in range(4)]
    assert np.mean(found) > 0.6, found


def test_a_subset_tells_of_the_share_alone() -> None:
    for subset, predicts in ((1, Predicts.SHARE), (8, Predicts.BOTH), (8, Predicts.OUTLOOK)):
        with pytest.raises(ValueError, match="a subset has at least 2 steps and tells of the share alone"):
            TrainingConfig(subset=subset, predicts=predicts)


def test_the_changes_of_an_accumulator_are_those_of_its_running_sum() -> None:
    torch.manual_seed(0)
    predictor = ReturnPredictor.for_spaces(*SPACES, hidden_size=6, structure=Structure.ACCUMULATOR, members=2).double()
    features = torch.randn(3, 7, len(predictor.features), dtype=torch.float64)
    for head in Head:
        predicted = predictor.heads[head](predictor.states(features))
        expected = torch.diff(predicted, dim=1, prepend=predictor.heads[head].bias.expand(3, 1, -1))
        torch.testing.assert_close(predictor.member_changes(features, head), expected)


SUBSETS = TrainingConfig(
    updates=400, kept=1.0, batch_size=4, subset=8, learning_rate=3e-3, weight_decay=1e-3, predicts=Predicts.SHARE
)
