"""When a predictor that keeps learning learns, from what, and how far it is then trusted."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.prediction.online import OnlineConfig, OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.quality import Quality
from rudder_lrp.prediction.training_config import TrainingConfig
from tests.conftest import SPACES, make_episode

QUICK = TrainingConfig(updates=1)


def online(capacity: int = 50, **config: object) -> OnlinePredictor:
    options = {"training": QUICK, "train_every": 10, "min_lessons": 4, "growth": 1.5} | config
    predictor = ReturnPredictor.for_spaces(*SPACES, hidden_size=4, members=1)
    return OnlinePredictor(predictor, LessonBuffer(capacity, holdout_every=1000), OnlineConfig(**options))


def teach(
    learner: OnlinePredictor, count: int, seed: int = 0, rewards: np.ndarray | None = None, length: int = 4
) -> None:
    rng = np.random.default_rng(seed)
    assert learner.teach(make_episode(rng, length, rewards) for _ in range(count)) == count


@pytest.mark.parametrize("config", [{"train_every": 0}, {"min_lessons": 1}, {"growth": 0.99}])
def test_a_cadence_that_cannot_be_is_refused(config) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(config))} must be a .* number of at least"):
        OnlineConfig(**config)
    OnlineConfig(train_every=1, min_lessons=2, growth=1.0)


@pytest.mark.parametrize(
    ("options", "course"),
    [
        pytest.param({}, [(3, 10, False), (2, 9, False), (0, 10, True)], id="first round: 4 lessons and 10 steps"),
        pytest.param(
            {},
            [(11, 25, True), (5, 35, False), (1, 34, False), (0, 35, True)],
            id="next: half as many lessons again, and 10 steps counted from the last round",
        ),
        pytest.param(
            {"capacity": 20, "growth": 10.0},
            [(30, 10, True), (19, 20, False), (1, 20, True)],
            id="lessons of which all that are kept are new are news enough",
        ),
    ],
)
def test_a_round_waits_for_steps_and_for_lessons(options, course) -> None:
    learner = online(**options)
    assert learner.trainer.config == QUICK
    for lessons, steps, due in course:
        teach(learner, lessons)
        assert learner.train_if_due(steps) is due, f"after {lessons} more lessons, at step {steps}"
    assert learner.version == sum(due for _, _, due in course)


@pytest.mark.parametrize(("length", "due"), [(19, False), (20, True)])
def test_one_lesson_with_half_as_many_steps_again_as_all_before_is_news_enough_also_where_a_run_goes_on(
    length, due
) -> None:
    learner, resumed = online(), online()
    teach(learner, 10)
    assert learner.train_if_due(10)
    resumed.restore(*learner.state())
    resumed.lessons.adopt(learner.lessons)
    for one, steps in ((learner, 20), (resumed, 10)):
        teach(one, 1, seed=1, length=length)
        assert one.train_if_due(steps) is due
        teach(one, 1, seed=2, length=31 - length)
        assert one.train_if_due(steps + 10) is not due, "counted from the last round, and not from there on"


def test_the_normalisation_counts_every_lesson_once_and_none_before_its_round() -> None:
    learner = online()
    normalizer = learner.predictor.normalizer
    for until in (10, 20, 30):
        before = normalizer.mean.clone()
        teach(learner, until, seed=until)
        assert torch.equal(normalizer.mean, before)
        assert learner.train_if_due(until)
        rows = np.concatenate([lesson.features for lesson in [*learner.lessons.training, *learner.lessons.held_out]])
        if until < 30:  # later, the oldest lessons have made room
            np.testing.assert_allclose(normalizer.mean, rows.mean(0), atol=1e-5)
            np.testing.assert_allclose(normalizer.variance, rows.var(0), rtol=1e-4)
        assert float(normalizer.count) == 4 * learner.lessons.seen


def test_listeners_are_told_of_what_is_observed_and_not_of_what_is_recalled() -> None:
    learner, told = online(), []
    learner.listeners.append(told.append)
    lesson = Lesson.from_episode(make_episode(np.random.default_rng(0), 4), learner.predictor.features)
    learner.recall(lesson)
    assert not told
    learner.observe(lesson)
    assert told == [lesson]
    assert learner.lessons.seen == 2


def test_lessons_without_a_difference_are_told_of_once_and_train_nothing(caplog) -> None:
    learner = online()
    teach(learner, 8, rewards=np.array([0.0, 0.0, 0.0, 2.0]))
    with caplog.at_level(logging.WARNING):
        assert [learner.train_if_due(steps) for steps in (10, 20, 30)] == [False] * 3
    assert caplog.text.count("same return (2.0)") == 1
    assert "until then the agent keeps the environment's own reward" in caplog.text
    assert learner.version == 0
    assert learner.q == 0.0


def test_a_mixture_weighs_by_trust() -> None:
    learner = online()
    learner.quality = Quality(0.5, 0.0, 0.0, slope=0.75)
    assert learner.mix(np.array([4.0, 0.0]), np.array([0.0, 8.0])).tolist() == [3.0, 2.0]


def test_without_a_gate_all_is_handed_out_from_the_first_round_on() -> None:
    learner = online(gated=False)
    teach(learner, 5)
    assert learner.q == 0.0
    assert learner.train_if_due(10)
    assert not learner.quality.q, "no held-out lesson bears it out"
    assert learner.q == 1.0


def test_a_predictor_that_is_not_to_learn_keeps_the_lessons_alone() -> None:
    learner = online()
    learner.learns = False
    teach(learner, 5)
    assert not learner.train_if_due(10)
    assert (learner.version, len(learner.lessons)) == (0, 5)


def test_what_is_saved_goes_on_as_if_nothing_had_happened(tmp_path) -> None:
    one, other = online(), online()
    teach(one, 10)
    one.train_if_due(17)
    teach(one, 2, seed=1)
    other.lessons.load(one.lessons.save(tmp_path / "lessons"))
    other.predictor.load_state_dict(one.predictor.state_dict())
    other.restore(*one.state())
    for learner, done in ((one, 17), (other, 0)):
        teach(learner, 3, seed=2)
        assert not learner.train_if_due(done + 9)
        assert learner.train_if_due(done + 10)
    assert (one.version, one.trainer.rounds) == (other.version, other.trainer.rounds) == (2, 2)
    for mine, theirs in zip(one.predictor.state_dict().values(), other.predictor.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def far_moment(tensors, counters):
    tensors["adam.0.exp_avg"].fill_(9.0)
    tensors["adam.0.exp_avg_sq"].fill_(1.0)


def lone_moment(tensors, counters):
    tensors["adam.0.exp_avg"].fill_(0.5)
    tensors["adam.0.exp_avg_sq"].zero_()


def negative_count(tensors, counters):
    tensors["unseen.count"].fill_(-1.0)


DAMAGE = [
    (far_moment, "moments of parameter 0 do not fit together"),
    (lone_moment, "moments of parameter 0 do not fit together"),
    (negative_count, "a variance or count is negative"),
    (lambda _, counters: counters.update(version=-1), "training.*version"),
    (lambda _, counters: counters.update(rounds=1.5), "training.*rounds"),
    (lambda _, counters: counters.update(until_lessons=-1), "training.*until_lessons"),
    (lambda _, counters: counters.update(lesson_steps=-1), "training.*lesson_steps"),
    (lambda _, counters: counters.update(until_lesson_steps=0.5), "training.*until_lesson_steps"),
    (lambda _, counters: counters.update(until_round=11), "training.*until_round"),
    (lambda _, counters: counters.update(quality=Quality(1.1, 0.0, 0.0)), "explained variance of 1.1 cannot be"),
    (lambda tensors, _: tensors.pop("adam.0.exp_avg_sq"), "training"),
    (lambda tensors, _: tensors.update({"unseen.mean": torch.zeros(2)}), "training"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_state_that_cannot_be_is_refused_and_changes_nothing(damage, message) -> None:
    learner = online()
    teach(learner, 10)
    learner.train_if_due(10)
    tensors, counters = learner.state()
    tensors = {name: value.clone() for name, value in tensors.items()}
    damage(tensors, counters)
    fresh = online()
    with pytest.raises((ValueError, KeyError), match=message):
        fresh.restore(tensors, counters)
    assert (fresh.version, fresh.q, fresh.trainer.rounds) == (0, 0.0, 0)
    assert not fresh.trainer.optimizer.state_dict()["state"]


@pytest.mark.parametrize("least", ["moments at their bound", "a round that is overdue", "nothing explained"])
def test_a_state_at_the_edge_of_what_can_be_is_taken_over(least) -> None:
    learner = online()
    teach(learner, 10)
    learner.train_if_due(10)
    tensors, counters = learner.state()
    if least == "moments at their bound":
        tensors["adam.0.exp_avg"] = tensors["adam.0.exp_avg_sq"].sqrt() * 7.3
    elif least == "a round that is overdue":
        counters["until_round"] = -1000
    else:
        counters["quality"] = Quality(float("-inf"), 0.0, 0.0)
    fresh = online()
    fresh.restore(tensors, counters)
    assert fresh.version == 1
