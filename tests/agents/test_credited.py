from __future__ import annotations

import numpy as np
import pytest

from agents.credited import CreditConfig, CreditedAgent
from agents.fidelity import decisive_steps, fidelity_report, optimal_credit
from agents.learning_time import learn_with_credit
from agents.lockstep import Draws, Exploration, Rollout, play
from envs import Bomb, Choice, FiniteEnv, Rooms, TraceBack, Umbrella
from rudder_lrp.features import Encoding
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor, UniformRedistributor
from rudder_lrp.training import TrainingConfig


def rollout_of(env: FiniteEnv, n: int, persistence: float = 0.0) -> Rollout:
    model = env.model
    draws = Draws([np.random.default_rng(0)], n, model.steps)
    exploring = draws.exploring(Exploration(persistence=persistence), 1.0, model.shape[2])
    return play(model, np.zeros((1, *model.shape)), draws, exploring)


@pytest.mark.parametrize("late_only", [True, False])
@pytest.mark.parametrize("build", [DifferenceRedistributor, LRPRedistributor, UniformRedistributor])
def test_what_the_agent_learns_from_has_the_same_return(build: type, late_only: bool) -> None:
    for env in (TraceBack(4), Rooms(2), Umbrella(5)):
        agent = CreditedAgent(env, build, "markov", seed=0, config=CreditConfig(late_only=late_only))
        rollout = rollout_of(env, 4)
        redistributed = agent.redistribute(rollout, agent.lessons(rollout))
        np.testing.assert_allclose(redistributed.sum(axis=1), rollout.rewards.sum(axis=1), atol=1e-9)


def test_what_was_paid_in_time_stays_where_it_is() -> None:
    env = Choice(6)
    agent = CreditedAgent(env, UniformRedistributor, "markov", seed=0)
    rollout = rollout_of(env, 3)
    redistributed = agent.redistribute(rollout, agent.lessons(rollout))
    late = rollout.rewards[:, -1:]
    np.testing.assert_allclose(redistributed[:, :-1], rollout.rewards[:, :-1] + late / 7)


def test_a_lesson_sees_what_gymnasium_shows() -> None:
    env = TraceBack(4)
    agent = CreditedAgent(env, DifferenceRedistributor, "markov", seed=0, config=CreditConfig(encoding=Encoding.FULL))
    rollout = rollout_of(env, 1)
    seen = [env.reset(seed=0)[0], *(env.step(int(action))[0] for action in rollout.actions[0])]
    features = agent.lessons(rollout)[0].features
    np.testing.assert_allclose(features[:, : len(seen[0])], np.stack(seen[1:]), atol=1e-6)


@pytest.mark.slow
def test_the_agent_finds_the_first_two_moves_under_loud_distraction() -> None:
    solved = []
    for seed in range(3):
        config = CreditConfig(training=TrainingConfig(updates=80, batch_size=32, learning_rate=1e-2))
        env = TraceBack(6)
        agent = CreditedAgent(env, DifferenceRedistributor, "markov", seed, config=config)
        history = learn_with_credit(env, agent, Exploration(), 500)
        solved.append(history.solved_at(env.model))
    assert sum(at is not None for at in solved) >= 2


def test_the_same_seed_learns_the_same() -> None:
    def table() -> np.ndarray:
        env = TraceBack(3)
        agent = CreditedAgent(env, LRPRedistributor, "accumulator", seed=2)
        learn_with_credit(env, agent, Exploration(), 160)
        return agent.values

    np.testing.assert_array_equal(table(), table())


def test_the_optimal_credit_of_the_choice_lies_on_the_choice() -> None:
    env = Choice(6)
    rollout = rollout_of(env, 20)
    credit = optimal_credit(env.model, rollout, epsilon=0.2)
    np.testing.assert_allclose(credit[:, 1:], 0.0, atol=1e-9)
    patient = rollout.actions[:, 0] == 1
    # Worth 2 later, or 1 at once, which is not counted again; the policy is patient in 9 of 10 episodes: 1.9.
    np.testing.assert_allclose(credit[patient, 0], 2.0 - 1.9)
    np.testing.assert_allclose(credit[~patient, 0], 0.0 - 1.9)


def test_an_all_knowing_credit_would_have_full_fidelity_and_a_uniform_one_little() -> None:
    env = TraceBack(10)
    agent = CreditedAgent(env, UniformRedistributor, "markov", seed=0)
    rollout = rollout_of(env, 64)
    lessons = agent.lessons(rollout)
    for lesson in lessons:
        agent.online.predictor.normalizer.update(lesson.features)
    report = fidelity_report(agent, rollout, lessons, epsilon=1.0)
    assert report["on_decisive"] == pytest.approx(3 / 12, abs=1e-3)
    assert decisive_steps(env.model, rollout)[:, :2].all()
    assert not decisive_steps(env.model, rollout)[:, 2:].any()


def test_decisive_is_the_visit_of_the_bomb() -> None:
    env = Bomb(2)
    rollout = rollout_of(env, 500, persistence=0.9)
    mask = decisive_steps(env.model, rollout)
    late = rollout.rewards[:, -1] > 500
    assert 0 < late.sum() < len(late)
    assert mask.any(axis=1)[late].all()
