"""Whether the true credit of a policy is true."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs import ChargeDischarge, KeyToDoor
from envs.key_to_door import DOOR_CELL, DOOR_ROOM, KEY_CELLS, SMALL_CELLS, DoorPayment, chance_to_reach
from envs.true_credit import Policy, play

KNOWING = [id_ for id_ in envs.IDS if hasattr(gym.make(id_).unwrapped, "foresee")]
SMALL = ["ChargeDischarge10", "Umbrella20", "TMaze10", "Ventures", "Harvest"]


def upwards(observations: np.ndarray) -> np.ndarray:
    """Up in half of all steps, and otherwise anywhere but down."""
    return np.tile([0.5, 0.0, 0.25, 0.25], (len(observations), 1))


def always_up(observations: np.ndarray) -> np.ndarray:
    return np.tile([1.0, 0.0, 0.0, 0.0], (len(observations), 1))


def seeing(env: gym.Env) -> Policy:
    """A policy that looks at what it sees, and never rules an action out."""
    n = int(env.action_space.n)

    def policy(observations: np.ndarray) -> np.ndarray:
        sums = observations.reshape(len(observations), -1).astype(np.float64)
        scores = np.stack([np.sin((action + 1) * 7.0 * sums.mean(axis=1)) for action in range(n)], axis=1)
        chances = np.exp(2.0 * scores)
        return chances / chances.sum(axis=1, keepdims=True)

    return policy


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


@pytest.mark.parametrize("name", SMALL)
def test_the_last_payment_is_on_average_what_is_expected_at_any_step(name: str) -> None:
    env = gym.make(f"rudder_lrp/{name}-v0").unwrapped
    policy = seeing(env)
    foreseen = env.foresee(policy)
    played = [play(env, policy, seed) for seed in range(400)]
    paid = np.array([one.rewards[-1] for one in played])
    for step in (0, 2, 5, 9):
        reached = [at for at, one in enumerate(played) if len(one.rewards) > step]
        expected = np.array([foreseen.expected(played[at].situations[: step + 1])[-1] for at in reached])
        errors = paid[reached] - expected
        assert abs(errors.mean()) < 4.0 * errors.std() / len(errors) ** 0.5 + 0.02


def test_the_door_pays_on_average_what_an_observer_expects_at_any_frame_of_the_key_room() -> None:
    env = KeyToDoor(frames=(15, 2, 15))
    payment = DoorPayment(env, upwards)
    played = [play(env, upwards, seed) for seed in range(1000)]
    paid = np.array([one.rewards[-1] for one in played])
    for frame in (0, 1, 3, 8, 14):
        expected = np.array([payment.expected(one.situations[: frame + 1])[-1] for one in played])
        assert 1.0 < expected.mean() < 8.0
        assert abs((paid - expected).mean()) < 4.0 * (paid - expected).std() / len(paid) ** 0.5


def test_who_has_not_seen_the_key_expects_the_same_wherever_it_lies_and_knows_its_cell_from_then_on() -> None:
    env = KeyToDoor()
    payment = DoorPayment(env, upwards)
    first = {round(float(payment.expected(play(env, upwards, seed).situations[:1])[0]), 12) for seed in range(30)}
    assert len(first) == 1, "from the lowest row nobody sees the two upper ones"
    chances = [payment.key[cell][0, SMALL_CELLS.index((4, 2))] for cell in KEY_CELLS]
    assert first.pop() == pytest.approx(10.0 * payment.opens * np.mean(chances))
    seen = next(
        s
        for seed in range(50)
        for s in [play(env, upwards, seed).situations]
        if any(one.at == (1, 2) and not one.has_key and one.room == 0 for one in s)
    )
    at = next(number for number, one in enumerate(seen) if one.at == (1, 2))
    known = payment.key[seen[at].key][seen[at].frame, SMALL_CELLS.index((1, 2))]
    assert payment.expected(seen[: at + 1])[-1] == pytest.approx(10.0 * payment.opens * known)


def test_no_step_but_one_in_the_small_rooms_changes_what_the_door_is_expected_to_pay() -> None:
    env = KeyToDoor()
    payment = DoorPayment(env, upwards)
    played = next(one for one in (play(env, upwards, seed) for seed in range(100)) if one.rewards[-1])
    credit = payment.credit(played.situations, float(played.rewards[-1]))
    assert credit.sum() == pytest.approx(10.0 - payment.expected(played.situations)[0])
    np.testing.assert_array_equal(credit[15:104], 0.0)
    taken = int(np.flatnonzero(played.decisive)[0])
    assert credit[taken] > 0.0
    np.testing.assert_array_equal(np.flatnonzero(played.decisive), [taken, len(credit) - 1])


def test_what_chance_adds_to_a_late_payment_is_nobody_s_credit_before_it_is_paid() -> None:
    env = gym.make("rudder_lrp/Ventures-v0").unwrapped
    policy = seeing(env)
    played = [play(env, policy, seed) for seed in range(50)]
    booked = np.concatenate([np.diff([situation.booked for situation in one.situations]) for one in played])
    assert set(booked.round(9)) == {-3.0, 0.0, 0.5, 4.0}
    foreseen = env.foresee(policy)
    assert np.std([foreseen.credit(one.situations, one.rewards[-1])[-1] for one in played]) > 4.0


def test_discharging_the_charged_is_what_pays_on_charge_discharge() -> None:
    env = ChargeDischarge(4)
    never = env.foresee(lambda seen: np.tile([0.0, 1.0], (len(seen), 1)))  # who charges from now on earns no more
    env.reset(seed=0)
    situations, rewards = [], []
    for action in (1, 0, 1, 1):
        situations.append(env.situation)
        rewards.append(env.step(action)[1])
    np.testing.assert_allclose(never.credit(situations, rewards[-1]), [0.0, 10.0, 0.0, 0.0])


@pytest.mark.parametrize("env_id", KNOWING)
def test_the_credit_of_an_episode_sums_to_what_came_unexpectedly(env_id: str) -> None:
    env = gym.make(env_id).unwrapped
    policy = seeing(env)
    foreseen = env.foresee(policy)
    one = play(env, policy, 1)
    credit = foreseen.credit(one.situations, float(one.rewards[-1]))
    assert len(credit) == len(one.rewards)
    assert credit.sum() == pytest.approx(one.rewards[-1] - foreseen.expected(one.situations)[0])
