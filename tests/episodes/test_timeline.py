from __future__ import annotations

from dataclasses import replace

import numpy as np

from rudder_lrp.episodes.timeline import Timeline, credit_in_words, strongest_features

SHOWN = Timeline(
    rewards=np.array([1.0, 0.0, 5.0]),
    redistributed=np.array([1.5, 4.0, 0.5]),
    predictions=np.array([1.0, 5.0, 6.0]),
    relevance=np.array([[0.5, 0.0, 1.0], [-3.0, 2.0, 5.0], [0.0, 0.0, 0.5]]),
    feature_names=["height", "speed", "paid"],
    actions=["left", "right", "left"],
)


def test_credit_is_what_a_step_gets_beyond_what_it_was_paid_and_all_of_the_last_step() -> None:
    np.testing.assert_allclose(SHOWN.credit, [0.5, 4.0, 0.5])
    assert SHOWN.credit.sum() == SHOWN.rewards[-1]


def test_the_strongest_steps_come_first_either_way_and_in_time_where_they_are_level() -> None:
    assert SHOWN.strongest_steps(3) == [1, 0, 2]
    assert replace(SHOWN, redistributed=np.array([2.0, 1.0, -3.0])).strongest_steps(2) == [2, 0]


def test_a_step_is_named_by_its_action_and_the_features_that_count_most() -> None:
    assert strongest_features(SHOWN, 1) == "action right, height -3, speed +2"
    assert strongest_features(SHOWN, 1, count=1) == "action right, height -3"


def test_what_is_no_feature_or_earned_nothing_is_not_named_as_the_reason() -> None:
    assert strongest_features(SHOWN, 0) == "action left, height +0.5"
    assert strongest_features(replace(SHOWN, actions=()), 2) == ""


def test_without_relevance_the_action_alone_is_named() -> None:
    assert strongest_features(replace(SHOWN, relevance=None), 0) == "action left"


def test_credit_is_told_with_its_error_bar_where_there_is_one() -> None:
    assert credit_in_words(SHOWN, 1) == "+4"
    assert credit_in_words(replace(SHOWN, uncertainty=np.array([0.0, 1.234, 0.0])), 1) == "+4 \N{PLUS-MINUS SIGN} 1.2"
