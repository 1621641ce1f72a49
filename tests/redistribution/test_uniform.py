from __future__ import annotations

import numpy as np
import torch

from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import UniformRedistributor
from tests.conftest import SPACES, make_episode


def test_every_step_earns_the_same_share_of_the_true_return() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, steps) for steps in (1, 4, 9)]
    for episode, rewards in zip(
        episodes, UniformRedistributor(ReturnPredictor.for_spaces(*SPACES)).redistribute(episodes), strict=True
    ):
        np.testing.assert_allclose(rewards, episode.episode_return / len(episode))


def test_its_contributions_share_out_the_prediction_and_leave_the_padding_alone() -> None:
    rng = np.random.default_rng(0)
    redistributor = UniformRedistributor(ReturnPredictor.for_spaces(*SPACES))
    features = redistributor.predictor.features
    batch = LessonBatch.collate([Lesson.from_episode(make_episode(rng, steps), features) for steps in (3, 7)])
    with torch.no_grad():
        shares = redistributor.contributions(batch.features, batch.lengths)
        whole = redistributor.differences(batch.features, batch.lengths).sum(dim=1)
    torch.testing.assert_close(shares.sum(dim=1), whole)
    assert not shares[0, 3:].any()
    assert torch.equal(shares[0, :3], shares[0, :1].expand(3))
