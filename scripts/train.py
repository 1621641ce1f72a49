"""Train an agent on delayed reward, with or without credit, and say what came of it.

python scripts/train.py                                   # key-to-door, PPO, LRP
python scripts/train.py --env LunarLander-v3 --credit difference
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import gymnasium as gym
import torch
import tyro
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

import envs
from agents.deep.presets import AgentConfig, Credit, build_agent
from agents.deep.runs import TrueReturns, mean_return
from rudder_lrp.persistence.checkpoints import latest_checkpoint
from rudder_lrp.sb3 import RedistributionCallback


@dataclass(frozen=True)
class Options:
    """Train an agent on delayed reward."""

    agent: Annotated[AgentConfig, tyro.conf.arg(name="")] = field(default_factory=AgentConfig)
    timesteps: int = 200_000
    """Environment steps to train."""
    logdir: Path = Path("runs")
    """Folder for TensorBoard logs, model, predictor and lessons."""
    evaluation_episodes: int = 50
    """Episodes played after training, and by the random policy."""
    threads: int = 1
    """Threads of PyTorch; where other processes want the same cores, more than one wait for each other."""


def train(options: Options) -> None:
    """Train, save, evaluate and report."""
    torch.set_num_threads(options.threads)
    config = options.agent
    folder = _run_folder(options)
    model = build_agent(config, tensorboard_log=str(folder))
    returns = TrueReturns()
    callbacks: list[BaseCallback] = [returns]
    if config.credit is not Credit.NONE:
        callbacks.append(RedistributionCallback(checkpoint_folder=folder))
    interrupted = False
    try:
        model.learn(options.timesteps, callback=callbacks, progress_bar=True, tb_log_name="tensorboard")
    except KeyboardInterrupt:
        interrupted = True
        for callback in callbacks[1:]:
            callback.on_training_end()
    model.save(folder / "model")
    print(f"{'interrupted after' if interrupted else 'trained'} {model.num_timesteps:,} steps, credit: {config.credit}")
    _report(options, model, returns, folder)


def _run_folder(options: Options) -> Path:
    config = options.agent
    name = f"{config.env.split('/')[-1]}_{config.algo}_{config.credit}_{config.redistribution.structure}_{config.seed}"
    folder = options.logdir / name
    number = 1
    while latest_checkpoint(folder) is not None:  # of a run before this one
        number += 1
        folder = options.logdir / f"{name}_{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".writable").touch()
    (folder / ".writable").unlink()
    return folder


def _report(options: Options, model: BaseAlgorithm, returns: TrueReturns, folder: Path) -> None:
    config = options.agent
    env = gym.make(config.env)
    env.action_space.seed(config.seed)
    episodes, seed = options.evaluation_episodes, 10_000 + config.seed
    random = mean_return(env, lambda _: env.action_space.sample(), episodes, seed)
    trained = mean_return(env, lambda observation: model.predict(observation)[0], episodes, seed)
    reference = envs.reference_return(config.env)
    print(f"true return, mean of {episodes} episodes")
    print(f"  random policy   {random:10.2f}")
    print(f"  trained agent   {trained:10.2f}   (last 100 training episodes: {returns.recent():.2f})")
    print(f"  optimal         {'unknown' if reference is None else format(reference, '10.2f')}")
    print(f"model       {folder / 'model.zip'}")
    if config.credit is not Credit.NONE:
        print(f"predictor   {folder / 'predictor.safetensors'}")
    print(f"TensorBoard tensorboard --logdir {options.logdir}")


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    try:
        train(options)
    except (ValueError, TypeError, OSError, gym.error.Error) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
