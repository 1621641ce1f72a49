"""Explain one episode with a saved predictor: a timeline as PNG, a table of the steps that got most credit.

Or, where there are data, somebody's model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize, unwrap_vec_normalize

from rudder_lrp.cli.agent import AgentConfig, Credit, normalised
from rudder_lrp.cli.algorithms import find_algorithm
from rudder_lrp.cli.environments import Delay, environment_factory
from rudder_lrp.cli.episodes import Policy, play_episode, random_policy, trained_policy
from rudder_lrp.cli.explain_model import explain_model
from rudder_lrp.cli.hyperparameters import check_at_least
from rudder_lrp.cli.train import read_run
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.episodes.timeline import Timeline, strongest_features
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor
from rudder_lrp.redistribution.diagnosis import timeline
from rudder_lrp.sb3.resume import read_statistics
from rudder_lrp.viewing.tensorboard import draw_timeline

_WITHOUT_BUFFERS: dict[str, Any] = {
    "rollout_buffer_class": None,
    "replay_buffer_class": None,
    "replay_buffer_kwargs": {},
}


@dataclass(frozen=True)
class Explain:
    """Explain one episode with a saved predictor; or with --data, a whole model of PyTorch."""

    run: Path | None = None
    """Folder of a run of `rudder-lrp train`, such as runs/latest: says all of the following but the seed."""
    predictor: Path | None = None
    """File that training saved."""
    env: str = AgentConfig.env
    """Id of the environment it was trained on."""
    model: str | None = None
    """Saved agent that plays the episode as in training; without one, actions are random. With --data, the model to
    explain: a .pt2 file of torch.export, or module:factory."""
    data: Path | None = None
    """File .npz with an array `inputs`, [B, T] or [B, T, F], and on demand `target`, for a model of PyTorch."""
    target: tuple[int, ...] = ()
    """Which output of that model; by default what the data say, or the only one."""
    rule: Literal["all", "half", "prop", "abs"] = "all"
    """How the gates of that model share relevance."""
    example: int = 0
    """Which of the data are shown."""
    algo: str = AgentConfig.algo
    """Algorithm of the saved agent."""
    credit: Credit = Credit.LRP
    """lrp or difference."""
    delay: Delay | int = Delay.AUTO
    """When the reward is paid, as in training."""
    seed: int = 0
    """Of the episode."""
    output: Path = Path("explanation.png")
    """Where the picture goes."""
    top: int = 8
    """Rows of the table."""


def explain(options: Explain) -> None:
    """Play, redistribute, draw and print; or explain a model on data.

    Raises:
        ValueError: if a file is missing or does not fit; nothing is written then.
        OSError: if the picture cannot be written.
    """
    check_at_least(0, top=options.top, seed=options.seed)
    if options.data is not None:
        if options.model is None:
            raise ValueError("there are data but no model; give --model FILE.pt2 or --model module:factory")
        explain_model(
            options.model, options.data, options.target, options.rule, options.example, options.output, options.top
        )
        return
    options = _of_run(options)
    if options.credit is Credit.NONE:
        raise ValueError("there is no credit to explain with credit none; choose lrp or difference")
    if options.predictor is None:
        raise ValueError("nothing to explain with; give --run FOLDER, or --predictor FILE and --env")
    env = environment_factory(options.env, options.delay)()
    predictor = ReturnPredictor.load(options.predictor, env.observation_space, env.action_space)
    episode = play_episode(env, _policy(options, env), options.seed)
    lesson = Lesson.from_episode(episode, predictor.features)
    redistributor = LRPRedistributor if options.credit is Credit.LRP else DifferenceRedistributor
    shown = timeline(redistributor(predictor), lesson)
    print(f"{len(episode)} steps, return {episode.episode_return:.3f}, predicted {shown.predictions[-1]:.3f}")
    _print_table(shown, options.top)
    draw_timeline(shown, f"{options.env}, seed {options.seed}").savefig(options.output)
    print(f"picture: {options.output}")


def _of_run(options: Explain) -> Explain:
    if options.run is None:
        return options
    config = read_run(options.run).agent
    if config.credit is Credit.NONE:
        raise ValueError(f"{options.run} was trained without credit, so it has no predictor; train with credit")
    return replace(
        options,
        predictor=options.predictor or options.run / "predictor.safetensors",
        model=options.model or str(options.run / "model.zip"),
        env=config.env,
        algo=config.algo,
        credit=config.credit,
        delay=config.delay,
    )


def _policy(options: Explain, env: gym.Env[object, object]) -> Policy:
    if options.model is None:
        env.action_space.seed(options.seed)
        return random_policy(env)
    model = find_algorithm(options.algo).load(options.model, device="cpu", custom_objects=dict(_WITHOUT_BUFFERS))
    model.set_random_seed(options.seed)
    return trained_policy(model, env, _statistics(options.run, env))


def _statistics(run: Path | None, env: gym.Env[object, object]) -> VecNormalize | None:
    if run is None:
        return None
    vector = normalised(DummyVecEnv([lambda: env]), read_run(run).agent)
    read_statistics(run, vector)()
    return unwrap_vec_normalize(vector)


def _print_table(shown: Timeline, rows: int) -> None:
    print(f"{'step':>5} {'credit':>9} {'+-':>7} {'true':>9} {'predicted':>9}  action, and where the credit comes from")
    for step in shown.strongest_steps(rows):
        bar = "-" if shown.uncertainty is None else f"{shown.uncertainty[step]:.3f}"
        print(
            f"{step:>5} {shown.credit[step]:>+9.3f} {bar:>7} {shown.rewards[step]:>+9.3f} "
            f"{shown.predictions[step]:>9.3f}  {strongest_features(shown, step)}"
        )
