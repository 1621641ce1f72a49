from __future__ import annotations

import numpy as np
import pytest

from agents.tabular.learners import DirectQ, LookBack, MonteCarlo, QLambda, SarsaLambda, lambda_returns, returns_to_go
from agents.tabular.lockstep import Draws, Exploration, Rollout, play
from envs import ChargeDischarge, Choice, TraceBack
from studies.proving_ground.learning_time import History, learn_in_lockstep

EXPLORATION = Exploration(warm_up=50)


def one_rollout(env: object, seed: int = 0) -> Rollout:
    model = env.model
    draws = Draws([np.random.default_rng(seed)], 1, model.steps)
    return play(model, np.zeros((1, *model.shape)), draws, draws.exploring(EXPLORATION, 0.5, model.shape[2]))


def slow_lambda_return(rewards: np.ndarray, following: np.ndarray, lambdas: np.ndarray, t: int) -> float:
    """The definition: a mixture of n-step returns."""
    if t == len(rewards) - 1:
        return rewards[t] + (1 - lambdas[t]) * following[t]
    rest = slow_lambda_return(rewards, following, lambdas, t + 1)
    return rewards[t] + (1 - lambdas[t]) * following[t] + lambdas[t] * rest


def test_lambda_returns_follow_their_recursion_and_reach_from_one_step_to_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    rewards, following, lambdas = rng.normal(size=(3, 1, 7))
    following[:, -1] = 0.0
    found = lambda_returns(rewards, following, lambdas)
    assert found[0] == pytest.approx([slow_lambda_return(rewards[0], following[0], lambdas[0], t) for t in range(7)])
    ones, zeros = np.ones((1, 7)), np.zeros((1, 7))
    np.testing.assert_allclose(lambda_returns(rewards, following, ones), returns_to_go(rewards))
    np.testing.assert_allclose(lambda_returns(rewards, following, zeros), rewards + following)


def test_watkins_cuts_the_trace_before_an_exploring_action() -> None:
    env = Choice(5)
    rollout = one_rollout(env)
    assert not rollout.greedy[0].all()
    learner = QLambda(env.model.shape, [0], lambda_=1.0)
    learner.values[:] = 0.0
    targets = learner.targets(rollout)[0]
    for t in range(env.model.steps):
        rest = rollout.greedy[0, t + 1 :]
        until = t + 1 + (int(rest.argmin()) if not rest.all() else len(rest))
        assert targets[t] == pytest.approx(rollout.rewards[0, t:until].sum())


def test_look_back_shapes_without_changing_what_an_episode_sums_to() -> None:
    env = ChargeDischarge(4)
    learner = LookBack(env.model.shape, [0], lambda_=1.0)
    for seed in range(9):
        learner.learn(one_rollout(env, seed))
    rollout = one_rollout(env, 1)
    plain = returns_to_go(rollout.rewards)[0]
    last = learner._potential[0, -1, rollout.states[0, -2], rollout.actions[0, -1]]
    assert last != 0.0
    assert learner.targets(rollout)[0, 0] == pytest.approx(plain[0] + last)


def test_direct_q_moves_towards_the_reward_of_the_step_alone() -> None:
    env = Choice(4)
    rollout = one_rollout(env)
    learner = DirectQ(env.model.shape, [0], learning_rate=1.0)
    learner.learn(rollout)
    steps = np.arange(env.model.steps)
    np.testing.assert_allclose(learner.values[0, steps, rollout.states[0, :-1], rollout.actions[0]], rollout.rewards[0])


@pytest.mark.parametrize("kind", [MonteCarlo, QLambda, SarsaLambda, LookBack])
def test_every_rule_learns_to_charge_and_to_discharge(kind: type) -> None:
    env, seeds = ChargeDischarge(4), list(range(5))
    histories = learn_in_lockstep(env.model, kind(env.model.shape, seeds), seeds, Exploration(warm_up=200), 1500)
    solved = [history.solved_at(env.model) for history in histories]
    assert sum(at is not None for at in solved) >= 4


def test_agents_in_lockstep_learn_the_same_as_alone() -> None:
    env = TraceBack(3)

    def curves(seeds: list[int]) -> list[History]:
        return learn_in_lockstep(env.model, MonteCarlo(env.model.shape, seeds), seeds, EXPLORATION, 200)

    np.testing.assert_array_equal(curves([4, 7])[1].returns, curves([7])[0].returns)


def test_solved_means_to_reach_ninety_percent_of_the_way_and_to_stay_there() -> None:
    model = Choice(5).model  # random actions are worth 1.5, the optimum 2
    good, bad = 2.0, 1.0
    assert History(np.array([bad] * 3 + [good] * 7)).solved_at(model) == 40
    assert History(np.array([bad] * 7 + [good] * 3)).solved_at(model) is None  # the rest is too short
    assert History(np.array([good] * 5 + [bad] * 5)).solved_at(model) is None
    assert History(np.array([good, bad, bad, bad, *[good] * 30])).solved_at(model) == 50
    assert History(np.array([1.9] * 20)).solved_at(model) is None  # 95 % of the return, 80 % of the way
