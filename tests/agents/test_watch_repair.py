from __future__ import annotations

import gymnasium as gym
import numpy as np

from agents.tabular.decision import MonteCarlo, QLearning
from agents.tabular.watch_repair import BEST, credited, uncredited
from envs.watch_repair import BRANDS, DECLINE, MEAN_PROFIT, REPAIR, STEPS, expected_sale, simulate


def test_simulated_episodes_follow_the_rules_of_the_environment() -> None:
    rng = np.random.default_rng(0)
    env = gym.make("rudder_lrp/WatchRepair-v0").unwrapped
    for brand in range(BRANDS):
        simulated = np.array([simulate(brand, True, rng)[1].sum() for _ in range(4000)])
        played = []
        for seed in range(8000):
            observation, _ = env.reset(seed=seed)
            if observation[3 + brand]:
                played.append(sum(env.step(REPAIR)[1] for _ in range(STEPS)))
        error = np.hypot(simulated.std() / len(simulated) ** 0.5, np.std(played) / len(played) ** 0.5)
        assert abs(simulated.mean() - np.mean(played)) < 4 * error
        assert abs(simulated.mean() - MEAN_PROFIT[brand]) < 4 * simulated.std() / len(simulated) ** 0.5


def test_declined_watches_earn_nothing_and_only_the_middle_brands_are_worth_repairing() -> None:
    assert simulate(3, False, np.random.default_rng(0))[1].tolist() == [0.0] * STEPS
    assert BEST == [DECLINE, REPAIR, REPAIR, DECLINE]


def test_lrp_credit_decides_right_within_1900_episodes_for_two_of_three_seeds() -> None:
    assert sum(credited(cap=1900, seed=seed).episodes is not None for seed in (0, 1, 2)) >= 2


def test_agents_without_credit_are_not_there_yet_after_1900_episodes() -> None:
    assert uncredited(MonteCarlo(2, seed=0), 1900, 0).episodes is None
    assert uncredited(QLearning(2, seed=0), 1900, 0).episodes is None


def test_what_the_sale_is_expected_to_pay_is_its_mean() -> None:
    rng = np.random.default_rng(0)
    episodes = [simulate(1, True, rng) for _ in range(4000)]
    expected = expected_sale(np.stack([observations for observations, _ in episodes]))[:, 1:]
    misses = np.array([rewards[-1] for _, rewards in episodes])[:, None] - expected
    assert (np.abs(misses.mean(axis=0)) < 4 * misses.std(axis=0) / len(misses) ** 0.5).all()
    assert (np.diff(misses.std(axis=0)) < 0.1).all()


def test_credit_of_an_agent_that_decides_right_is_measured_against_the_true_one() -> None:
    fidelity = credited(cap=900, seed=1).fidelity
    assert fidelity["explained_variance"] > 0.8
    assert fidelity["rank_correlation"] > 0.0
    assert abs(fidelity["on_decisive"] - fidelity["true_on_decisive"]) < 0.15
