from __future__ import annotations

import pytest

from scripts.benchmark_sb3 import Options, measure
from scripts.compare import add_ways


def test_ways_are_measured_in_training_and_in_evaluation() -> None:
    arms = {
        "dense": {"mean": 10.0, "mean_evaluation": 100.0},
        "none": {"mean": 0.0, "mean_evaluation": -100.0},
        "lrp/leaky": {"mean": 4.0, "mean_evaluation": 60.0},
    }
    add_ways(arms)
    assert [arm["way_from_delayed_to_dense"] for arm in arms.values()] == [1.0, 0.0, 0.4]
    assert [arm["way_by_evaluation"] for arm in arms.values()] == [1.0, 0.0, 0.8]


def test_without_both_ends_there_is_no_way() -> None:
    arms = {"dense": {"mean": 10.0, "mean_evaluation": 100.0}}
    add_ways(arms)
    assert arms == {"dense": {"mean": 10.0, "mean_evaluation": 100.0}}


def test_the_cost_is_measured_of_the_agents_that_are_asked_for() -> None:
    options = Options(
        env="Pendulum-v1", algo="SAC", n_envs=1, agents=("alone", "causal, leaky"), timesteps=420, turns=2
    )
    agents = measure(options)
    assert list(agents) == ["alone", "causal, leaky"]
    assert agents["alone"]["wall_ratio"] == 1.0
    assert agents["causal, leaky"]["wall_ratio"] > 1.0
    assert agents["causal, leaky"]["true_return"] < 0.0


def test_the_cost_of_an_unknown_agent_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="no agent 'free'; choose of 'alone', 'causal'"):
        measure(Options(agents=("alone", "free")))
