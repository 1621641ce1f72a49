"""Explain one episode with a saved predictor: a timeline as PNG, a table of the steps that got most credit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import gymnasium as gym

from rudder_lrp.cli.agent import AgentConfig, Credit
from rudder_lrp.cli.algorithms import find_algorithm
from rudder_lrp.cli.environments import Delay, environment_factory
from rudder_lrp.cli.episodes import Policy, play_episode
from rudder_lrp.cli.folders import read_settings
from rudder_lrp.cli.train import Train
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.episodes.timeline import Timeline, strongest_features
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor
from rudder_lrp.redistribution.diagnosis import timeline
from rudder_lrp.viewing.tensorboard import draw_timeline


@dataclass(frozen=True)
class Explain:
    """Explain one episode with a saved predictor."""

    run: Path | None = None
    """Folder of a run of `rudder-lrp train`, such as runs/latest: says all of the following but the seed."""
    predictor: Path | None = None
    """File that training saved."""
    env: str = AgentConfig.env
    """Id of the environment it was trained on."""
    model: Path | None = None
    """Saved agent that plays the episode as in training; without one, actions are random."""
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
    """Play, redistribute, draw and print.

    Raises:
        ValueError: if a file is missing or does not fit the environment; nothing is written then.
        OSError: if the picture cannot be written.
    """
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
    draw_timeline(shown, f"{options.env}, seed {options.seed}").savefig(options.output)
    print(f"{len(episode)} steps, return {episode.episode_return:.3f}, predicted {shown.predictions[-1]:.3f}")
    _print_table(shown, options.top)
    print(f"picture: {options.output}")


def _of_run(options: Explain) -> Explain:
    if options.run is None:
        return options
    config = read_settings(options.run, Train).agent
    if config.credit is Credit.NONE:
        raise ValueError(f"{options.run} was trained without credit, so it has no predictor; train with credit")
    return replace(
        options,
        predictor=options.predictor or options.run / "predictor.safetensors",
        model=options.model or options.run / "model.zip",
        env=config.env,
        algo=config.algo,
        credit=config.credit,
        delay=config.delay,
    )


def _policy(options: Explain, env: gym.Env[object, object]) -> Policy:
    if options.model is None:
        env.action_space.seed(options.seed)
        return lambda _: env.action_space.sample()
    without_buffers = {"rollout_buffer_class": None, "replay_buffer_class": None, "replay_buffer_kwargs": None}
    model = find_algorithm(options.algo).load(options.model, device="cpu", custom_objects=without_buffers)
    model.set_random_seed(options.seed)
    return lambda observation: model.predict(observation)[0]


def _print_table(shown: Timeline, rows: int) -> None:
    print(f"{'step':>5} {'credit':>9} {'true':>9} {'predicted':>9}  action, and where the credit comes from")
    for step in shown.strongest_steps(rows):
        print(
            f"{step:>5} {shown.credit[step]:>+9.3f} {shown.rewards[step]:>+9.3f} "
            f"{shown.predictions[step]:>9.3f}  {strongest_features(shown, step)}"
        )
