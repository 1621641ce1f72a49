from __future__ import annotations

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.prediction.predictor import Head, ReturnPredictor
from rudder_lrp.prediction.quality import Target, evaluate, losses
from rudder_lrp.prediction.training import Predicts, Trainer, TrainingConfig, fit
from tests.conftest import SPACES, make_episode


@pytest.mark.parametrize(("target", "values"), [(Target.LAST, [1.0, 1.0, 1.0]), (Target.OUTSTANDING, [2.0, 1.0, 1.0])])
def test_the_losses_are_means_of_squares_over_valid_steps_only(target, values) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    lessons = [Lesson(np.ones((t, len(predictor.features)), dtype=np.float32), np.ones(t)) for t in (1, 3)]
    batch = LessonBatch.collate(lessons)
    predictions = predictor(batch.features).detach()
    errors = losses(predictor, batch, target, [Head.OUTLOOK])[Head.OUTLOOK]
    expected = [(predictions[0, :1] - 1).square().mean(), (predictions[1] - torch.tensor(values)).square().mean()]
    torch.testing.assert_close(errors.along, torch.stack(expected))
    torch.testing.assert_close(errors.last[1], (predictions[1, 2] - 1).square())
    change = torch.diff(predictions[1], prepend=predictor.readout.bias.detach()).abs().sum()
    torch.testing.assert_close(errors.variation[1].detach(), change)


def test_equal_returns_are_refused_with_a_remedy() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, 4, np.ones(4)) for _ in range(10)]
    with pytest.raises(ValueError, match=r"all 8 lessons have the same return \(4.0\).*exploration"):
        fit(ReturnPredictor.for_spaces(*SPACES), episodes)


def test_rewards_that_all_come_on_the_way_are_refused_unless_they_are_to_be_predicted() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, 4, np.array([0.0, 0.0, rng.normal(), 1.0])) for _ in range(10)]
    with pytest.raises(ValueError, match=r"same last reward \(1.0\).*'outstanding'"):
        fit(ReturnPredictor.for_spaces(*SPACES), episodes)
    fit(ReturnPredictor.for_spaces(*SPACES), episodes, TrainingConfig(updates=2, target=Target.OUTSTANDING))


def test_equal_held_out_returns_earn_no_trust() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    lesson = Lesson(np.ones((2, len(predictor.features)), dtype=np.float32), np.ones(2))
    assert evaluate(predictor, [lesson, lesson])[Head.SHARE].q == 0.0


def test_episodes_of_one_step_can_be_learnt_from() -> None:
    rng = np.random.default_rng(0)
    predictor = ReturnPredictor.for_spaces(*SPACES)
    fit(predictor, [make_episode(rng, 1) for _ in range(20)], TrainingConfig(updates=2))


def test_same_seed_same_training() -> None:
    def weights() -> torch.Tensor:
        rng = np.random.default_rng(0)
        predictor = ReturnPredictor.for_spaces(*SPACES, seed=4)
        fit(predictor, [make_episode(rng, 6) for _ in range(50)], TrainingConfig(updates=20))
        return torch.cat([p.detach().flatten() for p in predictor.parameters()])

    assert torch.equal(weights(), weights())


def test_the_more_a_predictor_explains_the_less_it_is_updated() -> None:
    rng = np.random.default_rng(0)
    predictor = ReturnPredictor.for_spaces(*SPACES)
    lessons = LessonBuffer()
    for _ in range(20):
        lessons.add(Lesson.from_episode(make_episode(rng, 4), predictor.features))
    trainer = Trainer(predictor, TrainingConfig(updates=9, following_updates=3))
    updates: list[int] = []
    trainer.optimizer.register_step_post_hook(lambda *_: updates.append(1))
    for explained, expected in ((0.0, 9), (0.5, 6), (1.0, 3)):
        updates.clear()
        trainer.train(lessons, explained)
        assert len(updates) == expected


def lessons_decided_at(step: int, n_features: int) -> LessonBuffer:
    """Lessons of 30 steps, one of which decides; all others are distractions."""
    rng = np.random.default_rng(0)
    lessons = LessonBuffer()
    for _ in range(500):
        features = rng.normal(size=(30, n_features)).astype(np.float32)
        lessons.add(Lesson(features, np.append(np.zeros(29), np.sign(features[step, 0]))))
    return lessons


@pytest.mark.parametrize(("step", "structure", "head"), [(0, "accumulator", Head.OUTLOOK), (29, "leaky", Head.SHARE)])
def test_the_outlook_is_read_where_it_is_foreseen_and_else_the_share(step, structure, head) -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES, structure=structure)
    lessons = lessons_decided_at(step, len(predictor.features))
    quality = Trainer(predictor, TrainingConfig(updates=300, learning_rate=1e-2)).train(lessons)
    assert quality.explained_variance > 0.4
    assert (quality.foreseen > 0.4) == (head is Head.OUTLOOK)
    for name, weight in predictor.readout.named_parameters():
        assert torch.equal(weight, predictor.heads[head].get_parameter(name))


def test_no_step_earns_a_mean_error_of_the_share() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    lessons = lessons_decided_at(29, len(predictor.features))
    trained = Trainer(predictor, TrainingConfig(updates=3)).train(lessons)
    measured = evaluate(predictor, lessons.held_out)[Head.SHARE]
    assert measured.excess == pytest.approx(0.0, abs=1e-6)
    assert measured.explained_variance == pytest.approx(trained.explained_variance, abs=1e-5)
    assert measured.loss_last == pytest.approx(trained.loss_last, abs=1e-5)


def test_a_share_alone_is_not_trusted_for_lessons_that_agree_but_for_a_constant() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    lessons = lessons_decided_at(29, len(predictor.features))
    trained = Trainer(predictor, TrainingConfig(updates=3, predicts=Predicts.SHARE)).train(lessons)
    assert trained.excess != 0.0
    measured = evaluate(predictor, lessons.held_out)[Head.SHARE]
    assert (trained.explained_variance, trained.loss_last) == (measured.explained_variance, measured.loss_last)


def test_a_head_that_is_not_asked_for_is_not_trained() -> None:
    rng = np.random.default_rng(0)
    predictor = ReturnPredictor.for_spaces(*SPACES)
    before = predictor.heads[Head.SHARE].get_parameter("weight").clone()
    fit(predictor, [make_episode(rng, 4) for _ in range(20)], TrainingConfig(updates=2, predicts="outlook"))
    scale = predictor.heads[Head.SHARE].get_parameter("weight") / before
    torch.testing.assert_close(scale, scale[:, :1].expand_as(scale), msg="it follows the return's normalisation only")


def test_the_changes_of_a_prediction_sum_to_it_but_for_the_bias() -> None:
    predictor = ReturnPredictor.for_spaces(*SPACES)
    predictions = predictor(torch.randn(3, 7, len(predictor.features)))
    torch.testing.assert_close(predictor.changes(predictions).sum(1), predictions[:, -1] - predictor.readout.bias)
