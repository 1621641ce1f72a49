from __future__ import annotations

import numpy as np
import pytest

from rudder_lrp.viewing.comparison import draw_curves, judge, mean_curve, sentence

NAMES = ("with credit", "without")


def test_arms_that_lie_apart_get_a_verdict_and_a_sentence_with_both_numbers() -> None:
    verdict = judge([10.0, 11.0, 12.0, 13.0], [1.0, 2.0, 3.0, 4.0])
    assert verdict is not None
    assert verdict.decided
    assert verdict.separate
    assert verdict.probability == 1.0
    said = sentence(verdict, "Task", NAMES)
    assert said.startswith("With credit it is better on Task: 11.5 [10.")
    assert "every seed with credit above every seed without" in said


def test_where_intervals_overlap_there_is_no_verdict() -> None:
    verdict = judge([10.0, 1.0, 12.0, 3.0], [9.0, 2.0, 8.0, 4.0])
    assert verdict is not None
    assert not verdict.decided
    assert sentence(verdict, "Task", NAMES).startswith("No verdict on Task: with credit")


def test_where_credit_is_worse_the_sentence_says_so() -> None:
    said = sentence(judge([1.0, 2.0, 3.0, 4.0], [10.0, 11.0, 12.0, 13.0]), "Task", NAMES)
    assert said.startswith("With credit it is worse on Task")
    assert "every seed" not in said


@pytest.mark.parametrize(("ours", "theirs"), [([5.0] * 3, [1.0] * 5), ([5.0] * 4, [np.nan, 1.0, 1.0, 1.0])])
def test_from_too_few_runs_nothing_follows(ours, theirs) -> None:
    assert judge(ours, theirs) is None
    assert sentence(None, "Task", NAMES).startswith("No verdict")


def test_equal_arms_are_declared_different_hardly_more_often_than_the_intervals_promise() -> None:
    rng = np.random.default_rng(0)
    wrong = [judge(rng.normal(size=5), rng.normal(size=5)) for _ in range(100)]
    assert np.mean([verdict is not None and verdict.decided for verdict in wrong]) <= 0.1


def test_a_mean_curve_has_the_steps_that_all_runs_have(tmp_path) -> None:
    runs = [[(1, 0.0), (2, 2.0)], [(1, 1.0), (2, 4.0), (3, 9.0)]]
    assert mean_curve(runs) == [(1, 0.5), (2, 3.0)]
    assert mean_curve([]) == []
    draw_curves({"with credit": runs, "without": []}, "Task", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
