from __future__ import annotations

import numpy as np
import pytest

from agents.tabular.credited import CreditedAgent
from agents.tabular.credits import CreditConfig, PredictorCredit
from agents.tabular.learners import MonteCarlo
from agents.tabular.lockstep import Draws, Exploration, Rollout, play
from agents.tabular.observed import Observed
from envs import Bomb, Choice, FiniteEnv, Rooms, TraceBack, Umbrella
from rudder_lrp.episodes.features import Encoding
from rudder_lrp.prediction.quality import Quality
from rudder_lrp.prediction.training_config import TrainingConfig
from studies.proving_ground.arms import build_credit
from studies.proving_ground.fidelity import decisive_steps, fidelity_report
from studies.proving_ground.learning_time import learn_with_credit


def rollout_of(env: FiniteEnv, n: int, persistence: float = 0.0) -> Rollout:
    model = env.model
    draws = Draws([np.random.default_rng(0)], n, model.steps)
    exploring = draws.exploring(Exploration(persistence=persistence), 1.0, model.shape[2])
    return play(model, np.zeros((1, *model.shape)), draws, exploring)


def agent_of(env: FiniteEnv, arm: str, seed: int = 0, config: CreditConfig | None = None) -> CreditedAgent:
    config = config or CreditConfig()
    return CreditedAgent(Observed.of(env), build_credit(arm, env, 0.2, seed, config), seed, config=config)


ARMS = (
    "difference/markov",
    "lrp/leaky",
    "lrp/standard",
    "integrated_gradients/markov",
    "rrd",
    "uniform",
    "alignment",
    "oracle",
)


@pytest.mark.parametrize("arm", ARMS)
def test_what_the_agent_learns_from_has_the_same_return(arm: str) -> None:
    config = CreditConfig(min_lessons=10, train_every=20, training=TrainingConfig(updates=2))
    for env in (TraceBack(4), Rooms(2), Umbrella(5)):
        agent = agent_of(env, arm, config=config)
        rollout = rollout_of(env, 20)
        agent.learn(rollout)
        redistributed = agent.credit.redistribute(rollout, agent.lessons(rollout))
        np.testing.assert_allclose(redistributed.sum(axis=1), rollout.rewards.sum(axis=1), atol=1e-5)
        beyond = np.arange(env.model.steps) >= rollout.lengths[:, None]
        assert not redistributed[beyond].any()


def test_what_the_first_steps_have_in_common_is_no_credit() -> None:
    env = Choice(6)
    agent = agent_of(env, "lrp/leaky", config=CreditConfig(min_lessons=10, train_every=20))
    rollout = rollout_of(env, 100)
    agent.learn(rollout)
    assert isinstance(agent.credit, PredictorCredit)
    known = agent.credit.online.lessons.training
    credit = agent.credit.contributions(rollout._replace(rewards=rollout.rewards[: len(known)]), known)
    assert np.abs(credit[:, 0]).max() > 0.1
    assert abs(credit[:, 0].mean()) < 1e-5


def test_what_was_paid_in_time_stays_where_it_is() -> None:
    env = Choice(6)
    agent = agent_of(env, "oracle")
    rollout = rollout_of(env, 3)
    redistributed = agent.credit.redistribute(rollout, agent.lessons(rollout))
    np.testing.assert_allclose(redistributed[:, 1:-1], rollout.rewards[:, 1:-1], atol=1e-9)


def test_the_uniform_credit_spreads_everything() -> None:
    env = Choice(6)
    rollout = rollout_of(env, 3)
    redistributed = agent_of(env, "uniform").credit.redistribute(rollout, [])
    np.testing.assert_allclose(redistributed, np.repeat(rollout.rewards.sum(axis=1, keepdims=True) / 7, 7, axis=1))


def test_when_trust_falls_the_agent_acts_by_what_it_learnt_without_credit() -> None:
    env = TraceBack(4)
    agent = agent_of(env, "difference/markov", config=CreditConfig(min_lessons=10, train_every=20))
    alone = MonteCarlo(env.model.shape, [0])
    for _ in range(3):
        rollout = rollout_of(env, 20)
        agent.learn(rollout)
        for at in range(20):
            alone.learn(Rollout(*(part[at : at + 1] for part in rollout)))
    agent.credit.online.quality = Quality(0.9, 0.0, 0.0, slope=0.9)
    assert np.abs(agent.values - alone.values).max() > 1e-3
    agent.credit.online.quality = Quality(0.1, 0.0, 0.0, slope=0.1, standard_error=0.2)
    np.testing.assert_array_equal(agent.values, alone.values)


def test_the_mixture_of_the_tables_is_the_table_of_the_mixed_reward() -> None:
    model, (first, second) = Choice(5).model, (rollout_of(Choice(5), 1), rollout_of(Choice(5), 1))
    tables = [MonteCarlo(model.shape, [0]) for _ in range(3)]
    for rollout in (first, second):
        other = rollout._replace(rewards=rollout.rewards[:, ::-1])
        mixed = rollout._replace(rewards=0.3 * rollout.rewards + 0.7 * other.rewards)
        for table, played in zip(tables, (rollout, other, mixed), strict=True):
            table.learn(played)
    np.testing.assert_allclose(0.3 * tables[0].values + 0.7 * tables[1].values, tables[2].values)


@pytest.mark.slow
def test_the_bomb_is_not_forgotten() -> None:
    env = Bomb(15)
    for seed in range(3):
        agent = agent_of(env, "lrp/leaky", seed)
        history = learn_with_credit(env, agent, Exploration(persistence=0.9), 1500)
        assert history.shares(env.model)[-50:].mean() > 0.85


def test_a_lesson_sees_what_gymnasium_shows() -> None:
    env = TraceBack(4)
    agent = agent_of(env, "difference/markov", config=CreditConfig(encoding=Encoding.FULL))
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
        agent = agent_of(env, "difference/markov", seed, config)
        history = learn_with_credit(env, agent, Exploration(), 500)
        solved.append(history.solved_at(env.model))
    assert sum(at is not None for at in solved) >= 2


def test_the_same_seed_learns_the_same() -> None:
    def table() -> np.ndarray:
        env = TraceBack(3)
        agent = agent_of(env, "lrp/accumulator", seed=2)
        learn_with_credit(env, agent, Exploration(), 160)
        return agent.values

    np.testing.assert_array_equal(table(), table())


def test_the_oracle_has_full_fidelity_and_a_uniform_credit_little() -> None:
    env = TraceBack(10)
    rollout = rollout_of(env, 64)
    uniform, oracle = (
        fidelity_report(env.model, agent.credit, rollout, agent.lessons(rollout), epsilon=0.2)
        for agent in (agent_of(env, "uniform"), agent_of(env, "oracle"))
    )
    assert uniform["on_decisive"] == pytest.approx(3 / 12, abs=0.02)  # 0 where nothing was paid
    assert oracle["on_decisive"] == pytest.approx(1.0)
    assert oracle["rank_correlation"] == pytest.approx(1.0)
    assert decisive_steps(env.model, rollout)[:, :2].all()
    assert not decisive_steps(env.model, rollout)[:, 2:].any()


def test_decisive_is_the_visit_of_the_bomb() -> None:
    env = Bomb(2)
    rollout = rollout_of(env, 500, persistence=0.9)
    mask = decisive_steps(env.model, rollout)
    late = rollout.rewards[:, -1] > 500
    assert 0 < late.sum() < len(late)
    assert mask.any(axis=1)[late].all()
