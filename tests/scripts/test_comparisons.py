from __future__ import annotations

import pytest

from scripts.benchmark_sb3 import Options, measure


def test_the_cost_is_measured_of_the_agents_that_are_asked_for() -> None:
    options = Options(env="Pendulum-v1", algo="SAC", n_envs=1, agents=("alone", "default"), timesteps=420, turns=2)
    agents = measure(options)
    assert list(agents) == ["alone", "default"]
    assert agents["alone"]["wall_ratio"] == 1.0
    assert agents["default"]["wall_ratio"] > 0.0
    assert agents["default"]["true_return"] < 0.0


def test_the_cost_of_an_unknown_agent_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="no agent 'free'; choose of 'alone', 'default'"):
        measure(Options(agents=("alone", "free")))
