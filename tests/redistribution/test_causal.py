"""Credit while episodes run: what becomes a lesson, what is handed on, and when the sum is settled."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import pytest

from rudder_lrp.prediction.quality import Quality
from rudder_lrp.redistribution.causal import CausalCredit
from rudder_lrp.redistribution.config import CreditConfig
from tests.conftest import SPACES

OPTIONS = {"hidden_size": 4, "members": 1, "min_lessons": 500, "lesson_capacity": 500}


def credit(n_envs: int = 2, trust: float = 0.0, **options: object) -> CausalCredit:
    made = CausalCredit.for_spaces(*SPACES, n_envs, CreditConfig(**OPTIONS | options))
    made.online.predictor.rescale_(-3.0, 7.0)
    made.online.quality = Quality(0.0, 0.0, 0.0, slope=trust)
    return made


def play(own: CausalCredit, ends: list[list[int]], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Step until the last of the `ends` of each environment; rewards paid and handed, `[T, N]`."""
    rng, steps = np.random.default_rng(seed), max(map(max, ends)) + 1
    observations = rng.normal(size=(steps + 1, own.n_envs, 3)).astype(np.float32)
    paid, handed = rng.normal(size=(steps, own.n_envs)), []
    for t in range(steps):
        last = np.array([t in of_env for of_env in ends])
        actions = rng.integers(2, size=own.n_envs)
        handed.append(own.step(observations[t], actions, paid[t], observations[t + 1], last))
    return paid, np.array(handed)


def test_an_episode_of_hundreds_of_steps_is_one_whole_lesson() -> None:
    own = credit()
    paid, _ = play(own, [[199], [64, 199]])
    (long,) = own.finished[:1]
    assert long.lesson.rewards.tolist() == paid[:, 0].tolist()
    assert np.ptp(long.lesson.features, axis=0)[:3].min() > 1.0
    assert len(np.unique(long.lesson.features[:, 0])) == 200
    assert [len(lesson) for lesson in (*own.online.lessons.training, *own.online.lessons.held_out)].count(135) == 1
    assert own.online.lessons.seen == 3


@pytest.mark.parametrize("trust", [0.0, 0.4, 1.0])
def test_what_is_handed_out_sums_to_what_was_paid_whatever_the_trust(trust) -> None:
    own = credit(trust=trust)
    paid, handed = play(own, [[4, 99], [70, 99]])
    for env, cuts in ((0, (0, 5, 100)), (1, (0, 71, 100))):
        for start, end in pairwise(cuts):
            assert handed[start:end, env].sum() == pytest.approx(paid[start:end, env].sum(), abs=1e-4)
    assert np.allclose(handed, paid, atol=1e-5) is (trust == 0.0)
    assert own.finished[0].handed.tolist() == handed[5:, 0].tolist()
    assert own.finished[0][:2] == (0, 100)


def test_an_episode_without_an_end_is_settled_told_of_once_and_no_lesson(caplog) -> None:
    own = credit(trust=1.0, max_episode_steps=6)
    with caplog.at_level(logging.WARNING):
        paid, handed = play(own, [[2, 5, 8], [12, 14, 25]])
    assert caplog.text.count("did not end its episode") == 1
    assert "environment 1 did not end its episode within max_episode_steps=6 steps" in caplog.text
    assert handed[:6, 1].sum() == pytest.approx(paid[:6, 1].sum(), abs=1e-5), "settled where it became too long"
    np.testing.assert_allclose(handed[6:13, 1], paid[6:13, 1], atol=1e-5)
    assert own.online.lessons.seen == 3 + 1
    assert handed[13:15, 1].sum() == pytest.approx(paid[13:15, 1].sum(), abs=1e-5)


def test_an_episode_as_long_as_is_allowed_is_a_lesson() -> None:
    own = credit(1, max_episode_steps=6)
    play(own, [[5, 11]])
    assert own.online.lessons.seen == 2


def test_an_evaluation_hands_on_what_is_paid_and_leaves_nothing_behind() -> None:
    own = credit(trust=1.0)
    play(own, [[3], [9]])
    own.training = False
    paid, handed = play(own, [[3], [9]], seed=1)
    np.testing.assert_allclose(handed, paid, atol=1e-6)
    assert (own.online.lessons.seen, own.steps, own.finished) == (2, 10, [])
    own.training = True
    paid, handed = play(own, [[3, 7], [5, 7]], seed=2)
    np.testing.assert_allclose(handed[:4, 0], paid[:4, 0], atol=1e-5)
    assert own.online.lessons.seen == 4, "what began in the evaluation is no lesson"
    assert not np.allclose(handed[4:, 0], paid[4:, 0], atol=1e-3)


def test_a_restart_drops_what_is_unfinished_and_says_whether_that_matters() -> None:
    own = credit(trust=1.0)
    assert not own.interrupts()
    play(own, [[50], [50]])
    assert not own.interrupts(), "all is settled"
    own.step(np.ones((2, 3)), np.zeros(2, int), np.ones(2), np.ones((2, 3)), np.array([False, True]))
    assert own.interrupts()
    assert own.interrupts(np.array([True, False]))
    assert not own.interrupts(np.array([False, True]))
    own.restart(np.array([True, False]))
    assert not own.interrupts()
    assert own.finished == []
    play(own, [[2], [4]], seed=3)
    assert own.online.lessons.seen == 2 + 1 + 2
    assert len(own.online.lessons.training[-1]) in (3, 5)


def test_an_environment_that_is_being_reset_is_given_nothing() -> None:
    own = credit()
    ones, where = np.ones((2, 3)), np.array([True, False])
    handed = own.step(ones, np.zeros(2, int), np.array([2.0, 9.0]), ones, np.array([False, True]), where)
    assert handed.tolist() == [2.0, 0.0]
    assert own.online.lessons.seen == 0


@pytest.mark.parametrize("reward", [np.nan, np.inf, -1e20])
def test_a_reward_that_cannot_be_is_named_with_its_environment_and_step(reward) -> None:
    own = credit()
    play(own, [[50], [2]])
    own.step(np.ones((2, 3)), np.zeros(2, int), np.ones(2), np.ones((2, 3)), np.array([False, False]))
    with pytest.raises(ValueError, match=r"environment 1 paid .* at step 49 of its episode"):
        own.step(np.ones((2, 3)), np.zeros(2, int), np.array([0.0, reward]), np.ones((2, 3)), np.array([False, False]))


def test_what_float32_rounds_off_is_no_interruption() -> None:
    own = credit(1)
    for reward in (1e6 / 3.0, 1e6 / 7.0):
        own.step(np.ones((1, 3)), np.zeros(1, int), np.array([reward]), np.ones((1, 3)), np.array([False]))
    assert not own.interrupts()
