"""One training run from its config: train, remember the true returns, play evaluation episodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy

from agents.deep.evaluations import EVALUATION_SEED
from rudder_lrp.cli.agent import AgentConfig, build_agent, make_environment
from rudder_lrp.cli.episodes import TrueReturns

Measure = Callable[[AgentConfig, BaseAlgorithm], dict[str, float]]
"""Numbers about a trained agent, by name."""


Watch = Callable[[AgentConfig, BaseAlgorithm], list[BaseCallback]]
"""Callbacks that look at an agent while it trains."""


@dataclass(frozen=True)
class RunResult:
    """What one training run came to."""

    final_return: float
    """Mean true return of the last 100 training episodes."""
    evaluation: float
    """Mean true return of evaluation episodes after training, the same ones for every agent of the environment."""
    episodes: int
    """Training episodes."""
    seconds: float
    """Wall time of `learn`."""
    outcomes: dict[str, float] = field(default_factory=dict)
    """Share of the last 100 training episodes in which each true-or-false entry of the last info was true."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """Environment steps, and the mean true return of the 100 episodes before."""
    measured: dict[str, float] = field(default_factory=dict)
    """Whatever else was asked for."""


def run(
    config: AgentConfig,
    timesteps: int,
    threads: int = 1,
    points: int = 30,
    evaluation_episodes: int = 200,
    measure: Measure = lambda *_: {},
    watch: Watch = lambda *_: [],
) -> RunResult:
    """Train one agent from scratch.

    Args:
        config: what to train.
        timesteps: environment steps.
        threads: of PyTorch; fixed, so that runs side by side do not disturb each other.
        points: length of the learning curve.
        evaluation_episodes: played after training with actions as sampled in training.
        measure: asked about the agent at the end.
        watch: builds callbacks that look at the agent while it trains.
    """
    torch.set_num_threads(threads)
    returns = TrueReturns()
    model = build_agent(config)
    start = time.perf_counter()
    model.learn(timesteps, callback=[returns, *watch(config, model)])
    seconds = time.perf_counter() - start
    evaluation, _ = evaluate_policy(
        model, make_environment(replace(config, seed=EVALUATION_SEED)), evaluation_episodes, deterministic=False
    )
    return RunResult(
        returns.recent(),
        float(evaluation),
        len(returns.returns),
        seconds,
        returns.recent_outcomes(),
        returns.curve(timesteps, points),
        measure(config, model),
    )
