"""One training run from its config: train, remember the true returns, play evaluation episodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy

from agents.deep.presets import AgentConfig, build_agent, make_environment
from rudder_lrp.episodes.episode import Episode, map_arrays

EVALUATION_SEED = 10_000

Policy = Callable[[Any], Any]
"""From an observation to an action."""

Measure = Callable[[AgentConfig, BaseAlgorithm], dict[str, float]]
"""Numbers about a trained agent, by name."""


class TrueReturns(BaseCallback):
    """Remembers the true return of every training episode, and the step it ended at."""

    def __init__(self) -> None:
        super().__init__()
        self.returns: list[float] = []
        self.steps: list[int] = []
        self.outcomes: list[dict[str, float]] = []
        """What the environment said of each finished episode: the true-or-false entries of its last info."""

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:  # from the Monitor, which sits below any redistribution
                self.returns.append(float(info["episode"]["r"]))
                self.steps.append(self.num_timesteps)
                self.outcomes.append({key: float(value) for key, value in info.items() if isinstance(value, bool)})
        return True

    def recent_outcomes(self, episodes: int = 100) -> dict[str, float]:
        """Share of the latest episodes in which each true-or-false entry of the last info was true."""
        latest = self.outcomes[-episodes:]
        return {key: float(np.mean([outcome[key] for outcome in latest])) for key in (latest or [{}])[0]}

    def recent(self, episodes: int = 100) -> float:
        """Mean true return of the latest episodes; NaN before the first has ended."""
        return float(np.mean(self.returns[-episodes:])) if self.returns else float("nan")


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
) -> RunResult:
    """Train one agent from scratch.

    Args:
        config: what to train.
        timesteps: environment steps.
        threads: of PyTorch; fixed, so that runs side by side do not disturb each other.
        points: length of the learning curve.
        evaluation_episodes: played after training with actions as sampled in training.
        measure: asked about the agent at the end.
    """
    torch.set_num_threads(threads)
    returns = TrueReturns()
    model = build_agent(config)
    start = time.perf_counter()
    model.learn(timesteps, callback=returns)
    seconds = time.perf_counter() - start
    curve = _curve(returns, timesteps, points)
    evaluation, _ = evaluate_policy(
        model, make_environment(replace(config, seed=EVALUATION_SEED)), evaluation_episodes, deterministic=False
    )
    return RunResult(
        returns.recent(),
        float(evaluation),
        len(returns.returns),
        seconds,
        returns.recent_outcomes(),
        curve,
        measure(config, model),
    )


def _curve(history: TrueReturns, timesteps: int, points: int) -> list[tuple[int, float]]:
    steps, returns = np.array(history.steps), np.array(history.returns)
    curve = []
    for at in np.linspace(timesteps / points, timesteps, points).astype(int):
        ended = int(np.searchsorted(steps, at, side="right"))
        if ended:
            curve.append((int(at), round(float(returns[max(ended - 100, 0) : ended].mean()), 3)))
    return curve


def play_episode(env: gym.Env[Any, Any], policy: Policy, seed: int) -> Episode:
    """Play one episode from a seeded reset."""
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards = [observation], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        actions.append(policy(observation))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        observations.append(observation)
        rewards.append(float(reward))
    stacked = map_arrays(lambda *rows: np.stack(rows), *observations)
    return Episode(stacked, np.stack(actions), np.array(rewards), truncated and not terminated)


def mean_return(env: gym.Env[Any, Any], policy: Policy, episodes: int, seed: int) -> float:
    """Mean true return of a policy over evaluation episodes."""
    return float(np.mean([play_episode(env, policy, seed + k).episode_return for k in range(episodes)]))
