"""Evaluations while an agent trains: when they are made, of what, and that they leave the training alone."""

from __future__ import annotations

import numpy as np

from agents.deep.evaluations import Evaluations
from agents.deep.presets import AgentConfig, Credit, build_agent

CONFIG = AgentConfig("Pendulum-v1", "SAC", Credit.NONE, n_envs=1, algo_kwargs=("learning_starts=250", "batch_size=8"))


def trained(*callbacks: Evaluations) -> np.ndarray:
    model = build_agent(CONFIG)
    model.learn(300, callback=list(callbacks))
    return np.concatenate([weights.detach().numpy().ravel() for weights in model.policy.parameters()])


def test_the_true_return_is_looked_at_every_so_many_steps_and_training_goes_on_as_without() -> None:
    watching = Evaluations(CONFIG, every=150, episodes=2)
    np.testing.assert_array_equal(trained(watching), trained())
    assert [steps for steps, _ in watching.curve] == [150, 300]
    assert all(-2000.0 < mean < 0.0 for _, mean in watching.curve)


def test_the_same_episodes_are_played_each_time() -> None:
    # Nothing is learnt in between, so what is played is the same, too.
    watching = Evaluations(CONFIG, every=50, episodes=2)
    trained(watching)
    assert watching.curve[0][1] == watching.curve[1][1]
