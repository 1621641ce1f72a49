"""Rivals learn from replay as often as agents with credit do, and from as many episodes."""

from __future__ import annotations

import numpy as np
import pytest

from agents.tabular.credits import CreditConfig, PredictorCredit
from agents.tabular.learners import LateMonteCarlo, Learner, MonteCarlo
from agents.tabular.observed import Observed
from agents.tabular.replaying import ReplayedLateMonteCarlo, ReplayedMonteCarlo, Replaying
from envs import ChargeDischarge
from rudder_lrp.redistribution import DifferenceRedistributor
from tests.agents.test_learners import one_rollout

ENV = ChargeDischarge(4)
CONFIG = CreditConfig()


def after(learner: Learner, rollouts: list) -> np.ndarray:
    for rollout in rollouts:
        learner.learn(rollout)
    return learner.values


@pytest.mark.parametrize(
    ("replaying", "plain"), [(ReplayedMonteCarlo, MonteCarlo), (ReplayedLateMonteCarlo, LateMonteCarlo)]
)
def test_the_latest_episodes_are_learnt_from_once_more_at_each_round(replaying: type, plain: type) -> None:
    first = CONFIG.min_lessons
    second = first + CONFIG.until_round(first)
    rollouts = [one_rollout(ENV, seed) for seed in range(second)]
    arguments = (ENV.model.shape, [0])
    once = after(plain(*arguments), rollouts[: first - 1])
    np.testing.assert_array_equal(after(replaying(*arguments), rollouts[: first - 1]), once)
    twice = rollouts[:first] + rollouts[:first] + rollouts[first:] + rollouts
    np.testing.assert_array_equal(after(replaying(*arguments), rollouts), after(plain(*arguments), twice))


def test_replay_forgets_what_agents_with_credit_forget() -> None:
    learner = ReplayedMonteCarlo(ENV.model.shape, [0])
    rollout = one_rollout(ENV)
    after(learner, [rollout] * (CONFIG.relearnt + 9))
    assert isinstance(learner, Replaying)
    assert len(learner._latest) == CONFIG.relearnt


def test_rounds_of_a_credit_grow_apart_with_its_episodes() -> None:
    """A round every 50 episodes at first, later after a quarter of the episodes so far."""
    assert [CONFIG.until_round(episodes) for episodes in (0, 200, 1000)] == [50, 50, 250]
    credit = PredictorCredit(Observed.of(ENV), DifferenceRedistributor, "leaky", 0, CONFIG)
    credit.learn(one_rollout(ENV), [], 1000)
    assert credit.online.config.train_every == 250
