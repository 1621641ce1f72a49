from __future__ import annotations

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import ContributionStream, DifferenceRedistributor
from tests.conftest import SPACES


@pytest.fixture(params=list(Structure))
def predictor(request) -> ReturnPredictor:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=request.param, hidden_size=8, members=1)
    predictor.rescale_(-3.0, 7.0)
    return predictor


def test_the_stream_says_online_what_the_differences_say_offline(predictor) -> None:
    features = torch.randn(2, 9, len(predictor.features))
    lessons = [Lesson(row.numpy(), np.zeros(9)) for row in features]
    offline = np.stack(DifferenceRedistributor(predictor).redistribute(lessons))
    stream = ContributionStream(predictor, 2)
    online = np.stack([stream.step(features[:, t].numpy()) for t in range(9)], axis=1)
    np.testing.assert_allclose(online[:, :-1], offline[:, :-1], atol=1e-5)
    assert np.abs(online[:, 1:]).sum() > 0.01


def test_restarting_one_episode_leaves_the_others_alone(predictor) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 2, len(predictor.features))).astype(np.float32)
    interrupted, fresh = ContributionStream(predictor, 2), ContributionStream(predictor, 2)
    untouched = ContributionStream(predictor, 2)
    for row in rows[:2]:
        interrupted.step(row)
        untouched.step(row)
    interrupted.restart(np.array([True, False]))
    for row in rows[2:]:
        after, new, old = interrupted.step(row), fresh.step(row), untouched.step(row)
        np.testing.assert_allclose(after, [new[0], old[1]], atol=1e-6)


def test_replaying_the_beginnings_equals_having_followed_them(predictor) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 2, len(predictor.features))).astype(np.float32)
    followed, replayed = ContributionStream(predictor, 2), ContributionStream(predictor, 2)
    for row in rows[:4]:
        followed.step(row)
    replayed.replay(rows.swapaxes(0, 1), np.array([4, 4]))
    np.testing.assert_allclose(replayed.step(rows[4]), followed.step(rows[4]), atol=1e-5)
    np.testing.assert_allclose(replayed.predicted_returns, followed.predicted_returns, atol=1e-5)
    replayed.replay(rows.swapaxes(0, 1), np.array([0, 1]))
    np.testing.assert_allclose(replayed.step(rows[1])[0], ContributionStream(predictor, 2).step(rows[1])[0], atol=1e-5)


def test_the_stream_withholds_what_the_members_do_not_agree_on() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, hidden_size=8, members=2)
    predictor.rescale_(-3.0, 7.0)
    with torch.no_grad():  # two that agree by half
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"):
            own = predictor.lstm.get_parameter(name).view(4, 2, 4, -1)
            own[:, 1] = 2.0 * (own[:, 0] if name != "weight_hh_l0" else own[:, 0].roll(4, dims=-1))
        head = predictor.heads[predictor.reads].get_parameter("weight")
        head[1, 4:] = head[0, :4]
        predictor.heads[predictor.reads].get_parameter("bias").zero_()
    predictor.read_with_(predictor.reads)
    features = torch.randn(1, 9, len(predictor.features))
    changes = 7.0 * predictor.member_changes(features)[0].detach().double()
    mean, apart = changes.mean(dim=1), changes.std(dim=1)
    kept = torch.where(mean.abs() > apart, mean - apart.square() / mean, 0.0).numpy()
    kept[0] += predictor.expected_return
    stream = ContributionStream(predictor, 1)
    online = np.concatenate([stream.step(features[:, t].numpy()) for t in range(9)])
    np.testing.assert_allclose(online, kept, atol=1e-5)
    assert (np.abs(kept[1:]) > 1e-3).any()
    assert (np.abs(kept - mean.numpy())[1:] > 1e-3).any()
