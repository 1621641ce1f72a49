"""Whether what is said of credit beside the true one can be believed."""

from __future__ import annotations

import numpy as np
import pytest

from agents.deep.presets import AgentConfig, build_agent, redistributor_for
from envs import KeyToDoor
from envs.true_credit import PlayedEpisode
from rudder_lrp.sb3 import RedistributedRewardVecEnv
from studies.proving_ground.credit_truth import (
    CreditTruthCurve,
    Handed,
    compare_credits,
    credit_truth,
    credited_environment,
    handed_credits,
    played_episodes,
    within,
)


def upwards(observations: np.ndarray) -> np.ndarray:
    return np.tile([0.5, 0.0, 0.25, 0.25], (len(observations), 1))


def episode(decisive: list[int], steps: int = 6) -> PlayedEpisode:
    mask = np.isin(np.arange(steps), decisive)
    rewards = np.append(np.zeros(steps - 1), float(len(decisive)))
    return PlayedEpisode(np.zeros((steps + 1, 1)), np.zeros(steps, int), rewards, [], mask)


PLAYED = [episode([2]), episode([]), episode([3])]
TRUE = [np.array([0, 0, 4.0, 0, 0, 0]), np.array([0, -1.0, 0, 0, 0, 0]), np.array([0, 0, 0.5, 3.0, 0, 0])]


def test_the_true_credit_is_without_error_and_handing_out_nothing_has_error_one() -> None:
    perfect = compare_credits(TRUE, TRUE, PLAYED)
    assert (perfect.error, perfect.correlation) == (0.0, pytest.approx(1.0))
    assert perfect.largest_on_decisive == perfect.true_largest_on_decisive == 1.0
    assert perfect.credit_without_cause == 0.0
    nothing = compare_credits([1e-9 * credit for credit in TRUE], TRUE, PLAYED)
    assert nothing.error == pytest.approx(1.0)
    assert nothing.squared_error == pytest.approx((4.0**2 + 1.0 + 0.5**2 + 3.0**2) / 3)


def test_noise_where_nothing_is_earned_counts_as_credit_without_cause() -> None:
    noisy = [credit + np.array([0.0, 0, 0, 0, 1.0, -1.0]) for credit in TRUE]
    assert compare_credits(noisy, TRUE, PLAYED).credit_without_cause == pytest.approx(2.0)


def test_the_step_before_a_decisive_one_counts_and_the_one_before_that_does_not() -> None:
    def largest_at(steps: tuple[int, int]) -> float:
        own = [np.eye(6)[steps[0]], np.zeros(6), np.eye(6)[steps[1]]]
        return compare_credits(own, TRUE, PLAYED).largest_on_decisive

    assert largest_at((1, 2)) == 1.0
    assert largest_at((0, 2)) == 0.5
    assert largest_at((3, 4)) == 0.0


def test_what_is_handed_out_sums_to_the_late_payment_but_for_its_mean_expectation_at_any_trust() -> None:
    config = AgentConfig("rudder_lrp/KeyToDoor-v0", n_envs=2)
    env = build_agent(config).get_env()
    assert isinstance(env, RedistributedRewardVecEnv)
    played = list(played_episodes(KeyToDoor(), upwards, 4, 0))
    for trust in (0.0, 0.4, 1.0):
        credits = handed_credits(redistributor_for(config, env), played, trust).credits
        left = [float(one.rewards[-1] - credit.sum()) for one, credit in zip(played, credits, strict=True)]
        assert np.ptp(left) < 1e-6
    nothing = handed_credits(redistributor_for(config, env), played, 0.0).credits
    assert all(np.abs(credit[1:-1]).max() == 0.0 for credit in nothing)


def test_an_agent_whose_environment_does_not_know_its_credit_has_no_measure() -> None:
    config = AgentConfig("CartPole-v1", n_envs=1)
    model = build_agent(config)
    assert credit_truth(model, redistributor_for(config, model.get_env()), episodes=2) is None


def test_credit_is_measured_below_what_transposes_images() -> None:
    config = AgentConfig(env="rudder_lrp/Harvest-v0", n_envs=1)
    model = build_agent(config)
    credited = credited_environment(model)
    assert credited is not None
    assert credited is not model.get_env()
    truth = credit_truth(model, redistributor_for(config, credited), episodes=2)
    assert truth is not None
    assert truth.true_absolute_credit > 0.0


def test_the_curve_has_a_point_at_every_so_many_steps() -> None:
    config = AgentConfig("rudder_lrp/ChargeDischarge10-v0", n_envs=2)
    model = build_agent(config, n_steps=64, batch_size=64)
    curve = CreditTruthCurve(redistributor_for(config, model.get_env()), every=200, episodes=20)
    model.learn(640, callback=curve)
    assert [at for at, _ in curve.curve] == [200, 400, 600]
    assert all(numbers["error"] > 1.0 for _, numbers in curve.curve), "nobody is trusted yet: all is left at the end"


def test_error_bars_hold_what_lies_within_them() -> None:
    handed = Handed([np.array([1.0, 2.0, 3.0, 9.0])], [np.array([0.5, 0.5, 0.5, 0.5])])
    true = [np.array([1.4, 2.9, 5.0, 0.0])]
    assert within(handed, true, 1.0) == pytest.approx(1 / 3)
    assert within(handed, true, 2.0) == pytest.approx(2 / 3)
