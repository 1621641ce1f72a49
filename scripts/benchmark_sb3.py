"""What credit costs: wall time of an agent with causal and with episodic credit, as a multiple of the agent alone.

python scripts/benchmark_sb3.py                                      # PPO on delayed LunarLander-v3, 8 environments
python scripts/benchmark_sb3.py --algo SAC --env Pendulum-v1 --n-envs 1 --agents alone default \
    --timesteps 50000 --turns 25
python scripts/benchmark_sb3.py --env CartPole-v1 --n-envs 1024 --algo-kwargs n_steps=32 --agents alone default \
    --timesteps 655360 --turns 4

They take turns in one process and on one thread, so that what else the machine does disturbs all of them alike;
the time of the processor, which other processes disturb less, is given beside the wall time.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import unwrap_vec_wrapper

from agents.deep.presets import AgentConfig, Credit, build_agent
from rudder_lrp.lstm import Structure
from rudder_lrp.redistribution.config import ON_POLICY
from rudder_lrp.sb3 import RedistributedRewardVecEnv
from studies.provenance import provenance
from studies.results import FOLDER, ResultTable


@dataclass(frozen=True)
class Options:
    """What credit costs."""

    env: str = "LunarLander-v3"
    """Id of the environment; its reward is paid at the end."""
    algo: str = "PPO"
    """Stable-Baselines3 algorithm."""
    n_envs: int = 8
    """Parallel environments."""
    agents: tuple[str, ...] = ("alone", "default", "causal", "episodic")
    """Which of them to measure; the ratios are to the first."""
    algo_kwargs: tuple[str, ...] = ()
    """Hyperparameters of the algorithm as key=value."""
    timesteps: int = 60_000
    """Environment steps of each agent."""
    turns: int = 6
    """The steps are taken in so many turns, one agent after the other."""
    seed: int = 0
    """Of all agents."""
    output: Path = FOLDER / "cost.jsonl"
    """The result table, a row an agent."""


def build_agents(options: Options) -> dict[str, BaseAlgorithm]:
    """The agent alone, with the default credit, and with causal and episodic credit on a Markov LSTM, as asked for.

    Raises:
        ValueError: if an agent is asked for that there is not.
    """
    shared = {name: getattr(options, name) for name in ("env", "algo", "n_envs", "algo_kwargs", "seed")}
    base = AgentConfig(**shared)
    markov = replace(base, redistribution=replace(ON_POLICY, structure=Structure.MARKOV))
    configs = {
        "alone": replace(base, credit=Credit.NONE),
        "default": base,
        "causal": replace(markov, credit=Credit.DIFFERENCE),
        "episodic": replace(markov, credit=Credit.LRP),
    }
    if unknown := [name for name in options.agents if name not in configs]:
        raise ValueError(f"no agent {unknown[0]!r}; choose of {', '.join(map(repr, configs))}")
    return {name: build_agent(configs[name]) for name in options.agents}


def measure(options: Options) -> dict[str, Any]:
    """Train the agents turn by turn; seconds of wall and processor, and ratios to the agent alone."""
    agents = build_agents(options)
    wall, processor = (dict.fromkeys(agents, 0.0) for _ in range(2))
    for turn in range(options.turns):
        for name, model in agents.items():
            starts = time.perf_counter(), time.process_time()
            model.learn(options.timesteps // options.turns, reset_num_timesteps=turn == 0)
            wall[name] += time.perf_counter() - starts[0]
            processor[name] += time.process_time() - starts[1]
        print(f"turn {turn + 1}: " + ", ".join(f"{name} {_ratio(wall, name):.2f}" for name in agents), flush=True)
    return {
        name: {
            "wall_seconds": round(wall[name], 2),
            "processor_seconds": round(processor[name], 2),
            "wall_ratio": round(_ratio(wall, name), 3),
            "processor_ratio": round(_ratio(processor, name), 3),
        }
        | _learned(model)
        for name, model in agents.items()
    }


def _ratio(seconds: dict[str, float], name: str) -> float:
    return seconds[name] / next(iter(seconds.values()))


def _learned(model: BaseAlgorithm) -> dict[str, float | None]:
    recent = list(model.ep_info_buffer or [])
    env = model.get_env()
    credit = None if env is None else unwrap_vec_wrapper(env, RedistributedRewardVecEnv)
    return {
        "true_return": round(float(np.mean([episode["r"] for episode in recent])), 1),
        "episode_length": round(float(np.mean([episode["l"] for episode in recent])), 1),
        "explained_variance": None if credit is None else round(credit.online.quality.explained_variance, 3),
    }


def main() -> None:
    """Measure, print and write the result file; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    torch.set_num_threads(1)
    try:
        agents = measure(options)
    except ValueError as error:
        sys.exit(f"error: {error}")
    settings = {name: getattr(options, name) for name in ("env", "algo", "n_envs", "timesteps", "turns", "seed")}
    settings["algo_kwargs"] = " ".join(options.algo_kwargs)
    ResultTable(options.output, "cost").add(
        settings | {"agent": name} | numbers | provenance() for name, numbers in agents.items()
    )
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
