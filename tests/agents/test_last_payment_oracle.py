from __future__ import annotations

import numpy as np
import pytest

from agents.tabular.lockstep import Draws, Exploration, Rollout, play
from agents.tabular.oracle import OracleCredit, optimal_credit
from envs import Bomb, Choice, FiniteEnv, Rooms, TMaze, TraceBack
from envs.finite import last_payment, values


def rollout_of(env: FiniteEnv, n: int, epsilon: float = 1.0) -> Rollout:
    """Episodes of the policy that acts optimally but for a share `epsilon` of random actions."""
    model = env.model
    draws = Draws([np.random.default_rng(0)], n, model.steps)
    best = values(model, epsilon).action[None]
    return play(model, best, draws, draws.exploring(Exploration(), epsilon, model.shape[2]))


def last_of(rollout: Rollout) -> np.ndarray:
    return rollout.rewards[np.arange(len(rollout.rewards)), rollout.lengths - 1]


def test_the_credit_of_the_choice_lies_on_the_choice() -> None:
    env = Choice(6)
    rollout = rollout_of(env, 20)
    credit = optimal_credit(env.model, rollout, epsilon=0.2)
    np.testing.assert_allclose(credit[:, 1:], 0.0, atol=1e-9)
    patient = rollout.actions[:, 0] == 1
    # Patience is paid 2 at the end, and the policy is patient in 9 of 10 episodes; the lure of 1 is paid at once.
    np.testing.assert_allclose(credit[patient, 0], 2.0 - 1.8)
    np.testing.assert_allclose(credit[~patient, 0], 0.0 - 1.8)


def test_each_action_is_given_its_value_up_to_a_constant_of_the_state() -> None:
    env = TraceBack(4)
    rollout = rollout_of(env, 200)
    rewards = OracleCredit(env.model, 0.2).redistribute(rollout, [])
    first = np.array([rewards[rollout.actions[:, 0] == action, 0].mean() for action in range(4)])
    assert first.argmax() == 3
    np.testing.assert_allclose(np.delete(first, 3), 0.0, atol=1e-9)
    assert not OracleCredit(env.model, 0.2).learn(rollout, [], 100)


@pytest.mark.parametrize("env", [TMaze(4), Rooms(2)], ids=["TMaze", "Rooms"])
@pytest.mark.parametrize("epsilon", [0.2, 1.0])
def test_credit_and_expectation_sum_to_a_last_payment_without_luck(env: FiniteEnv, epsilon: float) -> None:
    rollout = rollout_of(env, 200, epsilon)
    total = optimal_credit(env.model, rollout, epsilon).sum(axis=1) + OracleCredit(env.model, epsilon).expected(rollout)
    np.testing.assert_allclose(total, last_of(rollout), atol=1e-9)


def test_turning_as_the_sign_said_is_no_fault() -> None:
    env = TMaze(4)
    rollout = rollout_of(env, 200, epsilon=0.2)
    last = optimal_credit(env.model, rollout, epsilon=0.2)[np.arange(200), rollout.lengths - 1]
    assert (last[last_of(rollout) > 0] > 0).all()
    assert (last[last_of(rollout) < 0] < 0).all()


@pytest.mark.parametrize("env", [Rooms(2), Bomb(3), Choice(5)], ids=["Rooms", "Bomb", "Choice"])
def test_the_policy_earns_the_last_payment_that_is_expected_of_it(env: FiniteEnv) -> None:
    paid = last_of(rollout_of(env, 4000, epsilon=0.3))
    expected = float(env.model.starts @ last_payment(env.model, epsilon=0.3)[0])
    assert abs(paid.mean() - expected) < 4 * paid.std() / np.sqrt(len(paid))


def test_on_the_policy_itself_no_step_has_credit_on_average() -> None:
    env = Rooms(2)
    rollout = rollout_of(env, 4000, epsilon=0.3)
    credit = optimal_credit(env.model, rollout, epsilon=0.3)
    error = credit.std(axis=0) / np.sqrt(len(credit))
    assert (np.abs(credit.mean(axis=0)) <= 5 * error + 1e-9).all()
