"""The rules of single environments, by scripted policies and closed forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gymnasium as gym
import numpy as np
import pytest

from envs import (
    Bomb,
    ChargeDischarge,
    Choice,
    Coin,
    DelayedReward,
    KeyToDoor,
    Rooms,
    TMaze,
    TraceBack,
    Umbrella,
    WatchRepair,
    optimal_redistribution,
)
from envs.watch_repair import MEAN_PROFIT

UP, DOWN, LEFT, RIGHT = range(4)


def follow(env: gym.Env, actions: Sequence[int] | Callable[[np.ndarray], int], seed: int = 0) -> tuple[list, list]:
    """Rewards and infos of an episode that takes these actions, the last one again and again."""
    observation, _ = env.reset(seed=seed)
    rewards, infos, over = [], [], False
    while not over:
        action = actions(observation) if callable(actions) else actions[min(len(rewards), len(actions) - 1)]
        observation, reward, terminated, truncated, info = env.step(action)
        over = terminated or truncated
        rewards.append(reward)
        infos.append(info)
    return rewards, infos


def test_the_bomb_pays_a_thousand_half_of_the_time_and_the_way_costs_what_the_card_says() -> None:
    paid = [follow(Bomb(delay=6), [DOWN], seed) for seed in range(200)]
    rewards, infos = paid[0]
    assert len(rewards) == 9
    assert rewards[:6] == pytest.approx([-0.09 * t for t in range(6)])
    assert [info["decisive"] for info in infos] == [False] * 5 + [True] + [False] * 3
    assert {round(r[-1]) for r, _ in paid} == {0, 1000}
    assert 70 < sum(r[-1] > 500 for r, _ in paid) < 130


def test_the_optimal_policy_goes_to_the_bomb_however_far() -> None:
    for delay in (6, 10, 15):
        env = Bomb(delay)
        cost = sum(0.09 * t for t in range(delay))
        assert 500.0 - cost <= env.optimal_return < 550.0


def test_patience_pays_two_and_the_lure_one() -> None:
    for action, expected in ((0, 1.0), (1, 2.0)):
        rewards, infos = follow(Choice(delay=8), [action])
        assert rewards[0] == (action == 0)
        assert set(np.round(np.array(rewards)[1:-1], 9)) <= {-1.0, 1.0}
        credit = optimal_redistribution(infos)
        assert credit[0] == pytest.approx(expected)
        np.testing.assert_allclose(credit[1:-1], rewards[1:-1])


def test_charging_and_discharging_in_turn_is_optimal() -> None:
    rewards, infos = follow(ChargeDischarge(steps=6), [1, 0] * 3)
    assert rewards == [0, 0, 0, 0, 0, 30]
    assert ChargeDischarge(steps=6).optimal_return == 30.0
    assert ChargeDischarge(steps=7).optimal_return == 31.0
    assert [info["decisive"] for info in infos] == [False, True] * 3


def test_only_the_first_two_moves_of_trace_back_decide() -> None:
    def mean(actions: list[int]) -> float:
        return float(np.mean([follow(TraceBack(delay=4), actions, seed)[0][-1] for seed in range(20)]))

    assert mean([RIGHT, UP, DOWN, LEFT]) == 1.0
    assert mean([UP, RIGHT]) == 0.0
    credit = optimal_redistribution(follow(TraceBack(delay=4), [RIGHT, DOWN])[1])
    assert credit[:2] == pytest.approx([1.0, -1.0])  # still possible after the first move, lost by the second


def test_the_umbrella_is_right_when_it_fits_the_forecast() -> None:
    fitting = [follow(Umbrella(length=5), lambda observation: int(observation[0]), seed)[0][-1] for seed in range(20)]
    contrary = [follow(Umbrella(length=5), lambda o: 1 - int(o[0]), seed)[0][-1] for seed in range(20)]
    assert fitting == [1.0] * 20
    assert contrary == [-1.0] * 20


def test_the_sign_of_the_maze_shows_at_the_beginning_alone_and_is_right() -> None:
    for seed in range(6):
        env = TMaze(length=5)
        sign, _ = env.reset(seed=seed)
        up = sign[0] == 1.0
        for _ in range(5):
            seen, *_ = env.step(RIGHT)
            assert seen[:2].tolist() == [0.0, 0.0]
        assert env.step(UP if up else DOWN)[1] == 4.0


def test_the_goal_of_the_rooms_pays_by_time_and_time_out_pays_one() -> None:
    rewards, _ = follow(Rooms(4), [UP])
    assert (len(rewards), rewards[-1]) == (200, 1.0)
    env = Rooms(4)
    shortest = 2 * 11 + 0  # rows and columns to cross; the doors lie on the way
    assert env.optimal_return == pytest.approx(3 - (shortest * 1.01 - 53.32) / 200, abs=0.02)
    assert Rooms(8).optimal_return < env.optimal_return


def test_the_coin_is_worth_25_and_credit_falls_when_one_stands_on_it() -> None:
    rewards, infos = follow(Coin(), [1, 1, *([0, 1] * 24)])
    assert sum(rewards) == 25.0 == Coin().optimal_return
    assert [t for t, info in enumerate(infos) if info["decisive"]] == list(range(1, 50, 2))
    np.testing.assert_allclose(optimal_redistribution(infos)[1:], 0.0, atol=1e-9)
    assert optimal_redistribution(infos)[0] == 25.0


def test_the_expected_profit_of_a_repair_is_known_from_the_first_step() -> None:
    for brand in range(4):
        first = []
        for seed in range(400):
            env = WatchRepair()
            observation, _ = env.reset(seed=seed)
            if observation[3 + brand] == 1.0:
                first.append(env.step(0)[4]["expected_return"])
        assert np.mean(first) == pytest.approx(MEAN_PROFIT[brand], abs=1.2)


def test_the_door_pays_with_the_key_alone() -> None:
    def walk(env: KeyToDoor, take_key: bool) -> tuple[float, bool]:
        env.reset(seed=1)
        total, over = 0.0, False
        while not over:
            thing = {0: 1, 1: 2, 2: 3}[env._room]
            found = np.argwhere(env._map[..., thing])
            skip = env._room == 0 and not take_key
            action = DOWN if skip or not len(found) else step_to(found[0] - env._at - 2)
            _, reward, over, _, info = env.step(action)
            total += reward
        return total, info["paid"]

    def step_to(way: np.ndarray) -> int:
        if way[0]:
            return UP if way[0] < 0 else DOWN
        return LEFT if way[1] < 0 else RIGHT

    with_key, paid = walk(KeyToDoor(), True)
    without, unpaid = walk(KeyToDoor(), False)
    assert (paid, unpaid) == (True, False)
    assert 20.0 <= with_key <= 110.0
    assert without <= 100.0


@pytest.mark.parametrize("every", [None, 7])
def test_delayed_reward_keeps_the_return_and_pays_on_time(every: int | None) -> None:
    env = DelayedReward(gym.make("CartPole-v1"), every)
    rng = np.random.default_rng(0)
    for seed in range(5):
        rewards, infos = follow(env, lambda _: int(rng.integers(2)), seed)
        dense = [info["dense_reward"] for info in infos]
        assert sum(rewards) == pytest.approx(sum(dense))
        due = [t + 1 for t in range(len(rewards)) if rewards[t]]
        expected = [t for t in range(1, len(rewards)) if every and t % every == 0]
        assert due == [*expected, len(rewards)]


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda: Bomb(0), "delay of 0"),
        (lambda: Bomb(31), "delay of 31"),
        (lambda: Choice(0), "delay of 0"),
        (lambda: TraceBack(0), "delay of 0"),
        (lambda: ChargeDischarge(1), "got 1"),
        (lambda: Rooms(5), "got 5"),
        (lambda: Umbrella(1), "got 1"),
        (lambda: TMaze(0), "got 0"),
        (lambda: DelayedReward(Coin(), 0), "got 0"),
    ],
)
def test_impossible_parameters_are_refused_by_name(build: Callable[[], gym.Env], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        build()


class Lost(Coin):
    """Pays what is no number."""

    def step(self, action):
        observation, _, terminated, truncated, info = super().step(action)
        return observation, float("nan"), terminated, truncated, info


def test_a_reward_that_is_no_number_is_not_delayed_but_named() -> None:
    env = DelayedReward(Lost())
    env.reset(seed=0)
    with pytest.raises(ValueError, match="step 0 of the episode paid nan: rewards must be finite"):
        env.step(env.action_space.sample())
