"""Whether the true credit of a policy on key-to-door is true."""

import numpy as np
import pytest

from agents.deep.presets import AgentConfig, build_agent, redistributor_for
from envs.key_to_door import DOOR_CELL, DOOR_ROOM, SMALL_CELLS, KeyToDoor
from rudder_lrp.sb3 import RedistributedRewardVecEnv
from studies.proving_ground.key_to_door import DoorPayment, chance_to_reach, credits_of, key_to_door_fidelity, play


def upwards(observations: np.ndarray) -> np.ndarray:
    """Up in half of all steps, and otherwise anywhere but down."""
    return np.tile([0.5, 0.0, 0.25, 0.25], (len(observations), 1))


def always_up(observations: np.ndarray) -> np.ndarray:
    return np.tile([1.0, 0.0, 0.0, 0.0], (len(observations), 1))


def test_who_only_walks_up_reaches_the_door_from_below_in_as_many_frames_as_there_are_rows_between() -> None:
    chance = chance_to_reach(always_up, KeyToDoor().sights(DOOR_ROOM, DOOR_CELL), DOOR_CELL)
    below = [SMALL_CELLS.index((row, 2)) for row in range(5)]
    left = np.arange(15, -1, -1)[:, None]
    np.testing.assert_array_equal(chance[:, below], left >= np.arange(5))
    assert chance[:, SMALL_CELLS.index((4, 1))].max() == 0.0


def test_all_that_can_be_seen_holds_what_is_seen() -> None:
    env = KeyToDoor()
    observation, _ = env.reset(seed=3)
    for action in (0, 2, 1):
        room, frame, at, _, key = env.situation
        np.testing.assert_array_equal(env.sights(room, key)[frame, SMALL_CELLS.index(at)], observation)
        observation, *_ = env.step(action)


def test_the_door_pays_on_average_what_is_expected_before_the_first_step() -> None:
    env = KeyToDoor(frames=(15, 2, 15))
    payment = DoorPayment(env, upwards)
    played = [play(env, upwards, seed) for seed in range(1000)]
    paid = np.array([one.episode.rewards[-1] for one in played])
    expected = np.array([payment.expected(one.situations[0]) for one in played])
    assert 2.0 < expected.mean() < 8.0
    assert abs((paid - expected).mean()) < 3 * paid.std() / len(paid) ** 0.5


def test_no_step_but_one_in_the_small_rooms_changes_what_the_door_is_expected_to_pay() -> None:
    env = KeyToDoor()
    payment = DoorPayment(env, upwards)
    played = next(one for one in (play(env, upwards, seed) for seed in range(100)) if one.episode.rewards[-1])
    credit = payment.credit(played)
    assert credit.sum() == pytest.approx(10.0 - payment.expected(played.situations[0]))
    np.testing.assert_array_equal(credit[15:104], 0.0)
    taken = int(np.flatnonzero(played.decisive)[0])
    assert credit[taken] > 0.0
    np.testing.assert_array_equal(np.flatnonzero(played.decisive), [taken, len(credit) - 1])


def test_the_credit_of_an_agent_is_measured_without_what_was_expected_before() -> None:
    config = AgentConfig(n_envs=2)
    model = build_agent(config)
    env = model.get_env()
    assert isinstance(env, RedistributedRewardVecEnv)
    redistributor = redistributor_for(config, env)
    played = [play(KeyToDoor(), upwards, seed) for seed in range(3)]
    assert np.mean([credit[0] for credit in credits_of(redistributor, played)]) == pytest.approx(0.0, abs=1e-6)
    report = key_to_door_fidelity(model, redistributor, episodes=3)
    assert all(0.0 <= report[name] <= 1.0 for name in ("on_decisive", "true_on_decisive"))
    assert -1.0 <= report["rank_correlation"] <= 1.0
