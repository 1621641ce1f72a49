"""A short sample of the attacks; `python -m tests.attack` does all of it."""

from __future__ import annotations

import logging

import pytest

from tests.attack import kills, mutations


@pytest.fixture(autouse=True)
def quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def assert_nothing_lost(found: dict[str, dict[str, int]], count: int) -> None:
    for of_algorithm in found.values():
        assert of_algorithm["lost"] == of_algorithm["doubled"] == 0, found
        assert of_algorithm["ended"] > 0
    assert sum(of_algorithm["resumes"] for of_algorithm in found.values()) == count, found


def test_a_run_of_each_kind_that_is_killed_loses_no_finished_episode(tmp_path) -> None:
    found = kills.attack(tmp_path, 3)
    assert_nothing_lost(found, 3)


def test_no_damaged_file_is_half_read_or_crashes_later(tmp_path) -> None:
    outcomes, wrong = mutations.attack(tmp_path, 60, seed=1)
    assert not wrong
    assert outcomes["refused"] > 10
    assert outcomes["works"] > 0, "some damages are none, or leave an earlier checkpoint"


@pytest.mark.slow
def test_thirty_kills_lose_no_finished_episode(tmp_path) -> None:
    assert_nothing_lost(kills.attack(tmp_path, 30, seed=7), 30)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_hundreds_of_damages_are_refused_or_harmless(tmp_path, seed) -> None:
    _, wrong = mutations.attack(tmp_path, 250, seed=100 + seed)
    assert not wrong
