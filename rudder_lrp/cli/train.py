"""Train an agent on delayed reward, with or without credit, and say what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.save_util import load_from_zip_file

from rudder_lrp.cli.agent import AgentConfig, Credit, build_agent
from rudder_lrp.cli.environments import describe_delay, environment_factory, outcome_labels, reference_return
from rudder_lrp.cli.episodes import RECENT, TrueReturns, mean_return, random_policy, trained_policy
from rudder_lrp.cli.folders import check_writable, new_run, read_settings, write_settings
from rudder_lrp.cli.hyperparameters import check_at_least
from rudder_lrp.cli.progress import ProgressBar
from rudder_lrp.cli.saving import ModelCheckpoints, save_model, saved_model
from rudder_lrp.cli.tensorboard import RunDescription
from rudder_lrp.sb3 import RedistributionCallback, resume
from rudder_lrp.sb3.resume import read_statistics

_EVALUATION_SEED, _STEPS = 10_000, 100_000
_ALGO_FILE = "hyperparameters.yml"


@dataclass(frozen=True)
class Train:
    """Train an agent on delayed reward, with or without credit."""

    agent: Annotated[AgentConfig, tyro.conf.arg(name="")] = field(default_factory=AgentConfig)
    timesteps: int | None = None
    """Environment steps in all, those before a resume included; by default what --algo-file says, else 100,000."""
    logdir: Path = Path("runs")
    """The run gets a numbered folder of its own in here, for TensorBoard, model, predictor and checkpoints."""
    resume: Path | None = None
    """Folder of a run to go on with, such as runs/latest; its own settings count, apart from --timesteps."""
    checkpoint_every: int = 50_000
    """Environment steps between two checkpoints; the two newest stay."""
    evaluation_episodes: int = 50
    """Episodes played after training, and by the random policy."""
    threads: int = 1
    """Threads of PyTorch; where other processes want the same cores, more than one wait for each other."""

    @property
    def total(self) -> int:
        """Environment steps in all."""
        return self.timesteps or self.agent.zoo.n_timesteps or _STEPS


class Interrupted(KeyboardInterrupt):
    """The run was interrupted; says what was saved."""


def train(options: Train) -> Path:
    """Train, save, evaluate and report; the run's folder.

    Raises:
        ValueError: if something in the options cannot be; nothing is written then.
        Interrupted: after Ctrl-C, naming what was saved.
    """
    check_at_least(1, timesteps=options.timesteps, checkpoint_every=options.checkpoint_every, threads=options.threads)
    check_at_least(0, evaluation_episodes=options.evaluation_episodes)
    torch.set_num_threads(options.threads)
    folder, options = _begun(options)
    config = options.agent
    model = build_agent(config)
    before = 0 if folder is None else _go_on(folder, model, config)
    if before >= options.total:
        raise ValueError(f"{folder} has {before:,} steps already; give --timesteps more than that")
    if folder is None:
        folder = new_run(options.logdir, run_name(config))
        _write_run(folder, options)
    try:
        print(_first_line(options, before, folder), flush=True)
        _report(options, model, _learn(options, model, folder), folder)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted while nothing was being learned; what was saved is in {folder}") from None
    return folder


def _write_run(folder: Path, options: Train) -> None:
    write_settings(folder, options)
    if options.agent.algo_file is not None:
        shutil.copyfile(options.agent.algo_file, folder / _ALGO_FILE)


def read_run(folder: Path) -> Train:
    """The options that a run was begun with; its hyperparameters are those that were in the file then.

    Raises:
        ValueError: if the folder holds none, or such that this version does not know.
    """
    options = read_settings(folder, Train)
    if options.agent.algo_file is None:
        return options
    return replace(options, agent=replace(options.agent, algo_file=folder / _ALGO_FILE))


def _first_line(options: Train, before: int, folder: Path) -> str:
    config = options.agent
    return (
        f"{config.env}, {describe_delay(config.env, config.delay)}: {config.algo} "
        f"{'without credit' if config.credit is Credit.NONE else f'with {config.credit} credit'}, "
        f"{options.total - before:,} steps, to {folder}"
    )


def run_name(config: AgentConfig) -> str:
    """What the folders of such runs are called, before their number."""
    name = config.env.rpartition(":")[2].rpartition("/")[2]
    return f"{name}_{config.algo}_{config.credit if config.credit is not Credit.NONE else 'plain'}"


def _begun(options: Train) -> tuple[Path | None, Train]:
    if options.resume is None:
        check_writable(options.logdir)
        return None, options
    folder = options.resume.resolve()
    settings = read_run(folder)
    return folder, replace(settings, timesteps=options.timesteps or settings.total, threads=options.threads)


def _go_on(folder: Path, model: BaseAlgorithm, config: AgentConfig) -> int:
    """Take over the latest checkpoint; the steps it was made after."""
    env = model.get_env()
    assert env is not None
    checkpoint = saved_model(folder)
    if config.credit is not Credit.NONE:
        found = resume(folder, env)
        checkpoint = None if found is None else found / "model.zip"
    if checkpoint is None:
        raise ValueError(f"{folder} holds no checkpoint to go on from; begin a new run without --resume")
    data, _, _ = load_from_zip_file(checkpoint, device="cpu")
    model.set_parameters(str(checkpoint), device="cpu")
    read_statistics(checkpoint.parent, env)()
    model.num_timesteps = int((data or {}).get("num_timesteps", 0))
    model._n_updates = int((data or {}).get("_n_updates", 0))
    return model.num_timesteps


def _learn(options: Train, model: BaseAlgorithm, folder: Path) -> TrueReturns:
    config, returns = options.agent, TrueReturns()
    bar = ProgressBar(returns, options.total)
    callbacks = [returns, bar, RunDescription(config, returns), _saving(options, folder)]
    model.set_logger(configure(str(folder), ["tensorboard"]))
    try:
        remaining = options.total - model.num_timesteps
        model.learn(remaining, callback=callbacks, reset_num_timesteps=model.num_timesteps == 0)
    except (ValueError, TypeError) as error:  # none of the options: what the environment did on the way
        raise RuntimeError(f"training in {folder} failed after {model.num_timesteps:,} steps") from error
    except KeyboardInterrupt:
        for callback in callbacks[1:]:
            callback.on_training_end()
        save_model(model, folder)
        raise Interrupted(
            f"interrupted after {model.num_timesteps:,} steps; saved in {folder}, "
            f"and rudder-lrp train --resume {folder} --timesteps {options.total} goes on from there"
        ) from None
    save_model(model, folder)
    return returns


def _saving(options: Train, folder: Path) -> BaseCallback:
    if options.agent.credit is Credit.NONE:
        return ModelCheckpoints(folder, options.checkpoint_every)
    return RedistributionCallback(folder, checkpoint_every=options.checkpoint_every)


def _report(options: Train, model: BaseAlgorithm, returns: TrueReturns, folder: Path) -> None:
    config = options.agent
    env = environment_factory(config.env, config.delay)()
    env.action_space.seed(config.seed)
    episodes, seed = options.evaluation_episodes, _EVALUATION_SEED + config.seed
    print(f"trained {model.num_timesteps:,} steps; true return, mean of {episodes} episodes")
    if episodes:
        statistics = model.get_vec_normalize_env()
        random = mean_return(env, lambda: random_policy(env), episodes, seed)
        trained = mean_return(env, lambda: trained_policy(model, env, statistics), episodes, seed)
        print(f"  random policy   {random:10.2f}")
        print(f"  trained agent   {trained:10.2f}")
    print(f"  in training     {returns.recent():10.2f}   (last {RECENT} episodes)")
    for label, share in shown_outcomes(outcome_labels(env), returns.recent_outcomes()).items():
        print(f"  {label:<15} {share:10.2f}   (share of those)")
    reference = reference_return(env)
    print(f"  optimal         {'unknown' if reference is None else format(reference, '10.2f')}")
    print(f"model       {folder / 'model.zip'}")
    if config.credit is not Credit.NONE:
        print(f"predictor   {folder / 'predictor.safetensors'}")
        print(f"why         rudder-lrp explain --run {folder}")
    print(f"TensorBoard tensorboard --logdir {options.logdir}")


def shown_outcomes(labels: Mapping[str, str], outcomes: Mapping[str, Any]) -> dict[str, float]:
    """Of what the last infos of episodes said, that which the environment names, by its label."""
    return {label: float(outcomes[key]) for key, label in labels.items() if key in outcomes}
