r"""What credit costs RLlib: PPO with and without it, what flows between processes, and what it learns.

    python scripts/benchmark_rllib.py                     # delayed LunarLander-v3, two EnvRunners of four environments
    python scripts/benchmark_rllib.py --env-runners 4 --n-envs 2 --gamma 0.99 --gae-lambda 0.98 --timesteps 300000 \
        --seed 0 --agents credit                          # at the horizon that suits credit best on Stable-Baselines3

Both train one after the other on the same Ray. Wall time counts all that the machine does meanwhile; bytes and
processor time do not.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import tyro
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.registry import register_env

from rudder_lrp import DelayedReward
from rudder_lrp.rllib import with_credit
from studies.provenance import provenance
from studies.results import FOLDER, ResultTable


@dataclass(frozen=True)
class Options:
    """What credit costs RLlib."""

    env: str = "LunarLander-v3"
    """Id of the environment; its reward is paid at the end."""
    env_runners: int = 2
    """Processes that step environments."""
    n_envs: int = 4
    """Environments of each of them."""
    gamma: float = 0.999
    """Discount."""
    gae_lambda: float = 0.95
    """Of the advantages."""
    timesteps: int = 150_000
    """Environment steps of each agent."""
    seed: int = 0
    """Of the agents."""
    agents: tuple[str, ...] = ("alone", "credit")
    """Which of them to measure."""
    output: Path = FOLDER / "cost.jsonl"
    """The result table, a row an agent."""


def config_of(options: Options) -> PPOConfig:
    """PPO as Stable-Baselines3 and its zoo have it on LunarLander."""
    name = f"delayed {options.env}"
    register_env(name, lambda _: DelayedReward(gym.make(options.env)))
    network = DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh", vf_share_layers=False)
    return (
        PPOConfig()
        .environment(name)
        .env_runners(num_env_runners=options.env_runners, num_envs_per_env_runner=options.n_envs)
        .training(
            train_batch_size_per_learner=2048,
            minibatch_size=256,
            num_epochs=10,
            lr=3e-4,
            gamma=options.gamma,
            lambda_=options.gae_lambda,
            clip_param=0.2,
            vf_clip_param=float("inf"),
            vf_loss_coeff=0.5,
            entropy_coeff=0.01,
            use_kl_loss=False,
            grad_clip=0.5,
        )
        .rl_module(model_config=network)
        .debugging(seed=options.seed, log_level="ERROR")
    )


def measure(config: PPOConfig, timesteps: int) -> dict[str, Any]:
    """Train for so many steps; seconds, returns, and what flowed for a million steps."""
    algorithm = config.build_algo()
    begun, returns, steps = time.perf_counter(), [], 0
    while steps < timesteps:
        result = algorithm.train()
        steps = int(result["env_runners"]["num_env_steps_sampled_lifetime"])
        returns.append(float(result["env_runners"].get("episode_return_mean", np.nan)))
        if len(returns) % 10 == 0:
            print(f"{steps:,} steps, {time.perf_counter() - begun:.0f} s, return {returns[-1]:.0f}", flush=True)
    seconds = time.perf_counter() - begun
    algorithm.stop()
    latest = float(np.nanmean(returns[-5:]))  # in some iterations no episode ends
    found = {"steps": steps, "wall_seconds": round(seconds, 1), "true_return": round(latest, 1)}
    return found | _flow(result, steps)


def _flow(result: dict[str, Any], steps: int) -> dict[str, float]:
    """Of the credit of a run, for a million steps."""
    if "credit" not in result:
        return {}
    sent, learnt, per_million = result["env_runners"]["credit"], result["credit"], 1e6 / steps
    return {
        "explained_variance": round(float(learnt["explained_variance"]), 3),
        "rounds": round(float(learnt["version"]) * per_million),
        "lessons": round(float(learnt["lessons"]) * per_million),
        "messages": round(float(learnt["messages"]) * per_million),
        "megabytes_of_lessons": round(float(sent["bytes_of_lessons"]) * per_million / 1e6, 1),
        "megabytes_of_weights": round(float(sent["bytes_of_weights"]) * per_million / 1e6, 1),
        "seconds_of_env_runners": round(float(sent["processor_seconds"]) * per_million, 1),
        "seconds_of_predictor": round(float(learnt["processor_seconds"]) * per_million, 1),
    }


def main() -> None:
    """Measure, print and write the result file."""
    options = tyro.cli(Options)
    if unknown := set(options.agents) - {"alone", "credit"}:
        sys.exit(f"error: no agent {min(unknown)!r}; choose of alone, credit")
    ray.init(num_cpus=options.env_runners + 1, include_dashboard=False, log_to_driver=False)
    config = config_of(options)
    agents = {"alone": config, "credit": with_credit(config, seed=options.seed)}
    found = {name: measure(agents[name], options.timesteps) for name in options.agents}
    ray.shutdown()
    settings = {
        name: getattr(options, name)
        for name in ("env", "env_runners", "n_envs", "gamma", "gae_lambda", "timesteps", "seed")
    }
    settings |= {"algo": "RLlib PPO", "ray": ray.__version__}
    ResultTable(options.output, "cost").add(
        settings | {"agent": name} | numbers | provenance() for name, numbers in found.items()
    )
    print(found, f"written to {options.output}", sep="\n")


if __name__ == "__main__":
    main()
