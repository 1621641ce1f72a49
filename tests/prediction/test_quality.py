from __future__ import annotations

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.prediction.predictor import Head, ReturnPredictor
from rudder_lrp.prediction.quality import (
    NO_QUALITY,
    Products,
    Quality,
    Target,
    differ,
    evaluate,
    losses,
    moments,
    slope,
)
from rudder_lrp.prediction.training import Trainer, fit, gathered
from rudder_lrp.prediction.training_config import TrainingConfig
from tests.conftest import SPACES, make_episode


@pytest.mark.parametrize(("target", "values"), [(Target.LAST, [1.0, 1.0, 1.0]), (Target.OUTSTANDING, [2.0, 1.0, 1.0])])
def test_the_losses_are_means_of_squares_over_valid_steps_only(target, values) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, members=1)
    predictor.rescale_(0.0, 1.0)
    lessons = [Lesson(np.ones((t, len(predictor.features)), dtype=np.float32), np.ones(t)) for t in (1, 3)]
    batch = LessonBatch.collate(lessons)
    predictions = predictor(batch.features).detach()
    errors = losses(predictor, batch, target, [Head.OUTLOOK])[Head.OUTLOOK]
    expected = [(predictions[0, :1] - 1).square().mean(), (predictions[1] - torch.tensor(values)).square().mean()]
    torch.testing.assert_close(errors.along[:, 0], torch.stack(expected))
    torch.testing.assert_close(errors.last[1, 0], (predictions[1, 2] - 1).square())
    change = torch.diff(predictions[1], prepend=predictor.readout.bias.detach()).abs().sum()
    torch.testing.assert_close(errors.variation[1, 0].detach(), change)


def test_heads_that_are_judged_together_err_as_each_does_alone() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    predictor.rescale_(0.0, 1.0)
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(t, len(predictor.features))).astype(np.float32) for t in (2, 5)]
    batch = LessonBatch.collate([Lesson(features, np.ones(len(features))) for features in rows])
    together = losses(predictor, batch, Target.LAST, list(Head))
    assert list(together) == list(Head)
    for head, errors in together.items():
        alone = losses(predictor, batch, Target.LAST, [head])[head]
        torch.testing.assert_close(errors, alone)
    assert (together[Head.OUTLOOK].last != together[Head.SHARE].last).all()


def test_equal_held_out_returns_earn_no_trust() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    lesson = Lesson(np.ones((2, len(predictor.features)), dtype=np.float32), np.ones(2))
    assert evaluate(predictor, [lesson, lesson])[Head.SHARE].q == 0.0


@pytest.mark.parametrize("unit", [1e-20, 1.0, -1e20])
def test_values_differ_where_it_is_more_than_the_rounding_of_rewards(unit) -> None:
    assert not differ(np.array([]))
    assert not differ(np.array([unit]))
    assert not differ(unit * np.array([1.0, 1.0 + 5e-7]))
    assert differ(unit * np.array([1.0, 1.0 + 2e-6]))
    assert differ(unit * np.array([0.0, 1.0]))


def test_noise_earns_hardly_any_trust() -> None:
    # Of 72 seeds, 14 % earned more than 0.2 by chance: half of 16 do once in 2,000 draws.
    trusts = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        episodes = [make_episode(rng, 8, np.append(np.zeros(7), rng.normal())) for _ in range(80)]
        trusts.append(fit(ReturnPredictor.for_spaces(*SPACES, seed=seed), episodes, TrainingConfig(updates=60)).q)
    assert np.median(trusts) < 0.2


def products_of(predicted: list[list[float]], came: list[list[float]]) -> Products:
    pairs = [(np.array(p), np.array(c)) for p, c in zip(predicted, came, strict=True)]
    rows = [[p.mean(), c.mean(), (p * c).mean(), (p * p).mean()] for p, c in pairs]
    return Products(*torch.tensor(rows, dtype=torch.float64).T)


def test_trust_is_the_slope_of_what_came_less_one_standard_error_by_lessons() -> None:
    rng = np.random.default_rng(0)
    predicted, came = rng.normal(size=(40, 5)), rng.normal(size=(40, 5))
    came += 0.7 * predicted + 3.0
    found, error = slope(products_of(predicted.tolist(), came.tolist()))
    assert found == pytest.approx(np.polyfit(predicted.ravel(), came.ravel(), 1)[0])
    centred = predicted - predicted.mean()
    residuals = came - came.mean() - found * centred
    by_lesson = (centred * residuals).sum(axis=1)
    expected = np.sqrt(np.square(by_lesson).sum()) / np.square(centred).sum() * np.sqrt(40 / 38)
    assert error == pytest.approx(expected)
    assert Quality(0.2, 0.0, 0.0, slope=0.7, standard_error=0.1).q == pytest.approx(0.6)
    assert Quality(0.2, 0.0, 0.0, slope=0.7, standard_error=0.8).q == 0.0
    assert Quality(0.2, 0.0, 0.0, slope=1.7, standard_error=0.1).q == 1.0


@pytest.mark.parametrize("predicted", [[[1.0], [2.0]], [[1.0], [1.0], [1.0], [1.0]]])
def test_two_lessons_or_a_constant_prediction_bear_nothing_out(predicted) -> None:
    assert slope(products_of(predicted, [[float(at)] for at in range(len(predicted))])) == (0.0, 0.0)


def test_three_lessons_that_agree_say_something() -> None:
    assert slope(products_of([[1.0], [2.0], [4.0]], [[3.0], [5.0], [9.0]])) == pytest.approx((2.0, 0.0))


def along(predictor: ReturnPredictor, head: Head, lesson: Lesson) -> list[float]:
    """What a head predicts after each step, in the mean over its members and in units of the normalisation."""
    with torch.no_grad():
        states = predictor.states(torch.from_numpy(lesson.features)[None])
        return predictor.heads[head](states)[0].mean(dim=1).double().tolist()


def test_the_outlook_is_judged_on_the_way_and_the_share_at_the_last_step() -> None:
    rng = np.random.default_rng(0)
    lessons = [
        Lesson(rng.normal(size=(n, 9)).astype(np.float32), np.append(np.zeros(n - 1), rng.normal()))
        for n in (3, 5, 4, 6)
    ]
    predictor = ReturnPredictor.for_spaces(*SPACES)
    predictor.rescale_(0.5, 2.0)
    qualities = evaluate(predictor, lessons)
    for head, quality in qualities.items():
        predicted, came = [], []
        for one in lessons:
            told = along(predictor, head, one)
            predicted.append(told if head is Head.OUTLOOK else told[-1:])
            came.append([(one.outstanding[-1] - 0.5) / 2.0] * len(predicted[-1]))
        found, error = slope(products_of(predicted, came))
        assert quality.slope == pytest.approx(found, rel=1e-4)
        assert quality.standard_error == pytest.approx(error, rel=1e-4)
        errors = np.array([p[-1] - c[-1] for p, c in zip(predicted, came, strict=True)])
        late = np.array([c[-1] for c in came])
        assert quality.explained_variance == pytest.approx(1.0 - np.square(errors).mean() / late.var(), rel=1e-4)
        assert quality.loss_last == pytest.approx(np.square(errors).mean(), rel=1e-4)
        assert quality.excess == pytest.approx(errors.mean(), rel=1e-4)
        if head is Head.OUTLOOK:
            missed = np.mean([np.square(np.subtract(p, c)).mean() for p, c in zip(predicted, came, strict=True)])
            assert quality.foreseen == pytest.approx(1.0 - missed / late.var(), rel=1e-4)
            assert quality.loss_along == pytest.approx(missed, rel=1e-4)
        else:
            assert np.isnan(quality.foreseen)


def test_doubt_is_the_variance_among_members_at_the_last_step() -> None:
    rng = np.random.default_rng(0)
    lessons = [Lesson(rng.normal(size=(n, 9)).astype(np.float32), rng.normal(size=n)) for n in (3, 5, 4)]
    predictor = ReturnPredictor.for_spaces(*SPACES)
    predictor.rescale_(0.5, 2.0)
    with torch.no_grad():
        states = [predictor.states(torch.from_numpy(lesson.features)[None])[0, -1] for lesson in lessons]
        for head, quality in evaluate(predictor, lessons).items():
            variances = [float(predictor.heads[head](last).var()) for last in states]
            assert quality.doubt == pytest.approx(np.mean(variances), rel=1e-4)


@pytest.mark.parametrize(("loss", "doubt", "factor"), [(8.0, 2.0, 2.0), (2.0, 8.0, 1.3), (2.0, 0.0, 1.3)])
def test_error_bars_are_as_wide_as_held_out_lessons_ask_for(loss: float, doubt: float, factor: float) -> None:
    assert Quality(0.5, loss, loss, doubt=doubt).calibration == factor


def test_members_who_were_never_asked_are_calibrated_by_the_least() -> None:
    assert NO_QUALITY.calibration == 1.3


def test_a_single_member_has_no_doubt() -> None:
    rng = np.random.default_rng(0)
    lessons = [Lesson(rng.normal(size=(4, 9)).astype(np.float32), rng.normal(size=4)) for _ in range(3)]
    predictor = ReturnPredictor.for_spaces(*SPACES, members=1)
    predictor.rescale_(0.0, 1.0)
    assert {quality.doubt for quality in evaluate(predictor, lessons).values()} == {0.0}


def test_a_round_calibrates_the_error_bars() -> None:
    rng, predictor = np.random.default_rng(0), ReturnPredictor.for_spaces(*SPACES, seed=0)
    episodes = [make_episode(rng, 4) for _ in range(40)]
    lessons = gathered(predictor, [Lesson.from_episode(episode, predictor.features) for episode in episodes])
    assert float(predictor.calibration) == 1.0
    quality = Trainer(predictor, TrainingConfig(updates=20)).train(lessons)
    assert float(predictor.calibration) == quality.calibration > 1.3


def test_what_is_to_be_predicted_varies_along_lessons_that_each_count_alike() -> None:
    mean, variance = moments([np.array([1.0, 3.0]), np.array([6.0])])
    assert (mean, variance) == (4.0, (5.0 + 4.0) / 2)
