from __future__ import annotations

import numpy as np
import pytest

from agents.tabular.lockstep import Draws, Exploration, greedy_returns, play
from envs import Bomb, Choice, Coin, FiniteEnv, Rooms, TraceBack

ENVS = [Bomb(6), Choice(8), Coin(), TraceBack(4), Rooms(4)]


def rngs(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


@pytest.mark.parametrize("env", ENVS, ids=lambda env: type(env).__name__)
def test_random_play_earns_what_dynamic_programming_says(env: FiniteEnv) -> None:
    from envs.finite import values

    model = env.model
    draws = Draws(rngs(0), 3000, model.steps)
    rollout = play(model, np.zeros((1, *model.shape)), draws, draws.exploring(Exploration(), 1.0, model.shape[2]))
    returns = rollout.rewards.sum(axis=1)
    expected = float(model.starts @ values(model, epsilon=1.0).state[0])
    assert abs(returns.mean() - expected) < 4 * returns.std() / np.sqrt(len(returns)) + 1e-9


@pytest.mark.parametrize("env", ENVS, ids=lambda env: type(env).__name__)
def test_the_greedy_return_of_the_true_values_is_the_optimum(env: FiniteEnv) -> None:
    found = greedy_returns(env.model, env.model.optimal.action[None])
    assert found == pytest.approx(env.optimal_return, rel=0.02)


def test_lockstep_and_gymnasium_pay_the_same_for_the_same_deterministic_actions() -> None:
    env = Coin()
    draws = Draws(rngs(3), 1, env.model.steps)
    rollout = play(
        env.model, np.zeros((1, *env.model.shape)), draws, draws.exploring(Exploration(), 1.0, env.model.shape[2])
    )
    env.reset(seed=0)
    rewards = [env.step(int(action))[1] for action in rollout.actions[0]]
    np.testing.assert_array_equal(rollout.rewards[0], rewards)


def test_an_agent_plays_the_same_alone_and_in_company() -> None:
    model = TraceBack(4).model
    tables = np.random.default_rng(0).random((2, *model.shape))

    def actions(tables: np.ndarray, *seeds: int) -> np.ndarray:
        draws = Draws(rngs(*seeds), 2, model.steps)
        return play(model, tables, draws, draws.exploring(Exploration(), 0.3, model.shape[2])).actions

    np.testing.assert_array_equal(actions(tables, 5, 6)[2:], actions(tables[1:], 6))


def test_the_rooms_end_at_the_goal_and_earn_nothing_afterwards() -> None:
    model = Rooms(4).model
    draws = Draws(rngs(0), 4, model.steps)
    rollout = play(model, model.optimal.action[None], draws, draws.exploring(Exploration(), 0.0, 4))
    assert (rollout.lengths < 60).all()
    for rewards, length in zip(rollout.rewards, rollout.lengths, strict=True):
        assert rewards[length - 1] > 2.5
        assert not rewards[length:].any()


def test_persistent_exploration_holds_its_action_and_explores_more_steps() -> None:
    draws = Draws(rngs(0), 500, 40)
    held = draws.exploring(Exploration(persistence=0.9), 0.05, 4)
    single = draws.exploring(Exploration(), 0.05, 4)
    assert (held >= 0).mean() > 3 * (single >= 0).mean()
    both = (held[:, 1:] >= 0) & (held[:, :-1] >= 0)
    assert (held[:, 1:] == held[:, :-1])[both].mean() > 0.8
