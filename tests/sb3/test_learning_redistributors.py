"""Redistributors that learn by themselves, through the buffers of Stable-Baselines3: same sum, taught on the way."""

from __future__ import annotations

import numpy as np
import pytest

from rudder_lrp.cli.agent import AgentConfig, Credit, build_agent
from rudder_lrp.redistribution import LearningRedistributor
from rudder_lrp.redistribution.learning import Cadence
from rudder_lrp.sb3.resume import credit_env

LEARNING = [Credit.RRD, Credit.IRCR, Credit.UNIFORM]


@pytest.mark.parametrize("credit", LEARNING)
def test_replayed_episodes_hold_what_the_redistributor_says_and_sum_to_their_return(credit) -> None:
    model = build_agent(AgentConfig("Pendulum-v1", "SAC", credit, n_envs=1, algo_kwargs=("learning_starts=2000",)))
    model.learn(1100)
    buffer = model.replay_buffer
    buffer.sample(500)
    redistributor = buffer.credit.redistributor
    assert isinstance(redistributor, LearningRedistributor)
    assert redistributor.version == 2  # 800 and 1,050 steps: the first ones with four episodes of 200
    online = credit_env(model.get_env()).online
    assert online.version == 0, "the wrapper's own predictor is not trained beside it"
    lessons = sorted([*online.lessons.training, *online.lessons.held_out], key=lambda lesson: lesson.episode_return)
    held = sorted((buffer.rewards[at : at + 200, 0] for at in range(0, 1000, 200)), key=np.sum)
    for own, expected in zip(held, redistributor.redistribute(lessons), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("credit", LEARNING)
def test_rollouts_hold_it_too(credit) -> None:
    model = build_agent(AgentConfig("CartPole-v1", "PPO", credit, n_envs=2))
    model.learn(1024)
    assert model.rollout_buffer.credit.redistributor.version == 2
    env = credit_env(model.get_env())
    assert env.online.version == 0
    total = sum(lesson.episode_return for lesson in [*env.online.lessons.training, *env.online.lessons.held_out])
    assert total > 0.0


def test_a_cadence_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="train_every must be a whole number of at least 1, got 0"):
        Cadence(train_every=0)
