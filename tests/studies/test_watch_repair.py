from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from agents.tabular.learners import MonteCarlo, QLambda
from envs.watch_repair import BRANDS, DECLINE, MEAN_PROFIT, REPAIR, STEPS, expected_sale, simulate
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.features import TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson
from studies.proving_ground.watch_repair import BEST, SHAPE, Outcome, Shop, credited, observations, task, uncredited


def test_simulated_episodes_follow_the_rules_of_the_environment() -> None:
    rng = np.random.default_rng(0)
    env = gym.make("rudder_lrp/WatchRepair-v0").unwrapped
    played: list[list[float]] = [[] for _ in range(BRANDS)]
    for seed in range(8000):
        observation, _ = env.reset(seed=seed)
        played[int(observation[3 : 3 + BRANDS].argmax())].append(sum(env.step(REPAIR)[1] for _ in range(STEPS)))
    for brand, profits in enumerate(played):
        simulated = np.array([simulate(brand, True, rng)[1].sum() for _ in range(4000)])
        error = np.hypot(simulated.std() / len(simulated) ** 0.5, np.std(profits) / len(profits) ** 0.5)
        assert abs(simulated.mean() - np.mean(profits)) < 4 * error
        assert abs(simulated.mean() - MEAN_PROFIT[brand]) < 4 * simulated.std() / len(simulated) ** 0.5


def test_declined_watches_earn_nothing_and_only_the_middle_brands_are_worth_repairing() -> None:
    assert simulate(3, False, np.random.default_rng(0))[1].tolist() == [0.0] * STEPS
    assert BEST.tolist() == [DECLINE, REPAIR, REPAIR, DECLINE]


def test_an_agent_meets_the_same_watches_alone_or_in_company() -> None:
    shops, tables = [Shop([3]), Shop([7, 3])], np.random.default_rng(0).random((1, *SHAPE))
    for _ in range(5):
        alone, company = ([*shop.receive(), shop.play(np.repeat(tables, len(shop.rngs), axis=0))] for shop in shops)
        assert alone[0] == company[1]
        for ours, theirs in zip(alone[-1], company[-1], strict=True):
            np.testing.assert_array_equal(ours[0], theirs[1])


def test_states_tell_what_the_environment_shows() -> None:
    shop, tables = Shop([0, 1, 2]), np.zeros((3, *SHAPE))
    tables[:, 0, :, REPAIR] = 1.0  # all are repaired, but for exploration
    shop.receive()
    rollout, fresh = shop.play(tables), Shop([0, 1, 2])
    brands = fresh.receive()
    for at, (brand, rng) in enumerate(zip(brands, fresh.rngs, strict=True)):
        rng.random((2, STEPS))
        shown, rewards = simulate(brand, rollout.actions[at, 0] == REPAIR, rng)
        np.testing.assert_array_equal(observations(rollout.states[at]), shown)
        np.testing.assert_array_equal(rollout.rewards[at], rewards)
        lesson = Lesson.from_episode(
            Episode(task().show(rollout.states[at : at + 1], rng)[0], rollout.actions[at], rewards),
            TransitionFeatures(task().observation_space, task().action_space),
        )
        assert len(lesson) == STEPS


@pytest.fixture(scope="module")
def credited_runs() -> list[Outcome]:
    return [credited(cap=1900, seed=seed) for seed in (0, 1, 2)]


def test_lrp_credit_decides_right_within_1900_episodes_for_two_of_three_seeds(credited_runs: list[Outcome]) -> None:
    # Seeds 1 to 4 took 844, 1,463, 836 and 914 episodes; seed 0 is not there yet.
    assert sum(run.episodes is not None for run in credited_runs) >= 2


def test_agents_without_credit_are_not_there_yet_after_1900_episodes() -> None:
    for learner in (MonteCarlo, QLambda):
        assert [run.episodes for run in uncredited(learner, 0.1, 1900, [0, 1, 2], lambda_=0.0)] == [None] * 3


def test_what_the_sale_is_expected_to_pay_is_its_mean() -> None:
    rng = np.random.default_rng(0)
    episodes = [simulate(1, True, rng) for _ in range(4000)]
    expected = expected_sale(np.stack([observations for observations, _ in episodes]))[:, 1:]
    misses = np.array([rewards[-1] for _, rewards in episodes])[:, None] - expected
    assert (np.abs(misses.mean(axis=0)) < 4 * misses.std(axis=0) / len(misses) ** 0.5).all()
    assert (np.diff(misses.std(axis=0)) < 0.1).all()


def test_credit_of_agents_that_mostly_decide_right_is_measured(credited_runs: list[Outcome]) -> None:
    # Seeds 0 to 4 explained 0.59 to 0.79, with rank correlations of 0.11 to 0.45 and 0.31 to 0.64 of the true share.
    runs = [run.fidelity for run in credited_runs]
    mean = {name: np.mean([fidelity[name] for fidelity in runs]) for name in runs[0]}
    assert mean["explained_variance"] > 0.5
    assert mean["rank_correlation"] > 0.1
    assert 0.25 < mean["on_decisive"] / mean["true_on_decisive"] < 1.0
