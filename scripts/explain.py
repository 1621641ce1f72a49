"""Explain one episode with a saved predictor: a timeline as PNG, a table of the steps that got most credit.

python scripts/explain.py --predictor runs/.../predictor.safetensors --env LunarLander-v3 --model runs/.../model.zip
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import tyro

from agents.deep.presets import ALGORITHMS, AgentConfig, Delay, environment_factory
from agents.deep.runs import Policy, play_episode
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor
from rudder_lrp.viewing.diagnosis import timeline
from rudder_lrp.viewing.tensorboard import Timeline, draw_timeline


@dataclass(frozen=True)
class Options:
    """Explain one episode with a saved predictor."""

    predictor: Path
    """File that training saved."""
    env: str = AgentConfig.env
    """Id of the environment it was trained on."""
    model: Path | None = None
    """Saved agent that plays the episode; without one, actions are random."""
    algo: str = AgentConfig.algo
    """Algorithm of the saved agent."""
    credit: str = "lrp"
    """lrp or difference."""
    delay: Delay | int = Delay.AUTO
    """When the reward is paid, as in training."""
    seed: int = 0
    """Of the episode."""
    output: Path = Path("explanation.png")
    """Where the picture goes."""
    top: int = 8
    """Rows of the table."""


def explain(options: Options) -> None:
    """Play, redistribute, draw and print."""
    redistributors = {"lrp": LRPRedistributor, "difference": DifferenceRedistributor}
    if options.credit not in redistributors:
        raise ValueError(f"unknown credit {options.credit!r}; choose one of {', '.join(redistributors)}")
    env = environment_factory(options.env, options.delay)()
    predictor = ReturnPredictor.load(options.predictor, env.observation_space, env.action_space)
    episode = play_episode(env, _policy(options, env), options.seed)
    lesson = Lesson.from_episode(episode, predictor.features)
    shown = timeline(redistributors[options.credit](predictor), lesson)
    draw_timeline(shown, f"{options.env}, seed {options.seed}").savefig(options.output, dpi=120)
    print(f"{len(episode)} steps, return {episode.episode_return:.3f}, predicted {shown.predictions[-1]:.3f}")
    _print_table(shown, options.top)
    print(f"picture: {options.output}")


def _policy(options: Options, env: gym.Env[object, object]) -> Policy:
    if options.model is None:
        env.action_space.seed(options.seed)
        return lambda _: env.action_space.sample()
    if options.algo not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {options.algo!r}; choose one of {', '.join(ALGORITHMS)}")
    model = ALGORITHMS[options.algo].load(options.model, device="cpu", custom_objects={"rollout_buffer_class": None})
    return lambda observation: model.predict(observation, deterministic=True)[0]


def _print_table(shown: Timeline, rows: int) -> None:
    assert shown.relevance is not None
    print(f"{'step':>5} {'credit':>9} {'true':>9} {'predicted':>9}  features at work (LRP-all relevance at the end)")
    for step in np.argsort(-np.abs(shown.redistributed))[:rows]:
        strongest = np.argsort(-np.abs(shown.relevance[step]))[:3]
        features = ", ".join(f"{shown.feature_names[at]} {shown.relevance[step, at]:+.3g}" for at in strongest)
        print(
            f"{step:>5} {shown.redistributed[step]:>+9.3f} {shown.rewards[step]:>+9.3f} "
            f"{shown.predictions[step]:>9.3f}  {features}"
        )


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    try:
        explain(options)
    except (ValueError, TypeError, OSError, gym.error.Error) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
