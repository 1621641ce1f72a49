"""Episodes, predictors and configs for the tests of RLlib's adapter."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rudder_lrp import DelayedReward, DifferenceRedistributor
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.redistribution.config import CreditConfig
from rudder_lrp.rllib.actor import PredictorActor
from rudder_lrp.rllib.fragments import RunningEpisodes
from rudder_lrp.rllib.sampling import FragmentCredit
from rudder_lrp.rllib.settings import CreditSettings
from tests.conftest import SPACES, make_episode

QUICK = CreditConfig(
    hidden_size=8,
    members=2,
    clock=2,
    min_lessons=8,
    train_every=64,
    lesson_capacity=64,
    training=TrainingConfig(updates=10),
)
"""A small predictor that is trained early."""

SETTINGS = CreditSettings(QUICK, DifferenceRedistributor, interval=0.0, actor="nobody")


def sampled(episode: Episode, *, identity: str = "an episode") -> SingleAgentEpisode:
    """An episode as an EnvRunner would return it."""
    found = SingleAgentEpisode(
        identity,
        observations=list(episode.observations),
        actions=list(episode.actions),
        rewards=episode.rewards.tolist(),
        infos=[{} for _ in episode.observations],
        terminated=not episode.truncated,
        truncated=episode.truncated,
        len_lookback_buffer=0,
        t_started=0,
        observation_space=SPACES[0],
        action_space=SPACES[1],
    )
    return found.to_numpy()


def cut(episode: SingleAgentEpisode, *at: int) -> list[SingleAgentEpisode]:
    """An episode in fragments that begin at these steps, besides the first."""
    return [episode[begin:end] for begin, end in zip((0, *at), (*at, len(episode)), strict=True)]


def played(rng: np.random.Generator, steps: int = 20) -> Episode:
    """An episode that is paid on the way and at the end."""
    rewards = rng.normal(size=steps)
    rewards[-1] += 5.0
    return make_episode(rng, steps, rewards)


class StandIn:
    """A client whose predictor was trained on random episodes and is trusted as the test says."""

    def __init__(self, trust: float = 0.7, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.predictor = SETTINGS.online(SPACES).predictor
        self.trust = trust
        self.version: Any = ("life", 1)
        self.bytes_received = 0
        self.sent: list[Any] = []
        self.retrain(seed)

    def retrain(self, seed: int) -> None:
        """Other weights, as after a round of training."""
        self.predictor.reset_(seed)
        self.predictor.return_scale.fill_(3.0)
        self.predictor.return_mean.fill_(1.5)
        self.version = ("life", seed)

    def receive(self) -> bool:
        return False

    def send(self, lessons: Any, steps: int) -> int:
        self.sent += list(lessons)
        return 0


def credit(client: Any, longest: int = 1000, settings: CreditSettings = SETTINGS) -> FragmentCredit:
    """What an EnvRunner computes for its fragments."""
    running = RunningEpisodes(client.predictor.features, longest, normalize=False, clip=False)
    return FragmentCredit(client, settings, running)


def actor(folder: Path) -> PredictorActor:
    """The predictor's actor in this process."""
    return PredictorActor(SETTINGS, SPACES, folder, lambda tensors: tensors)


class DelayedCartPole(DelayedReward):
    """CartPole whose return is paid at the end."""

    def __init__(self, _: Any = None) -> None:
        super().__init__(gym.make("CartPole-v1"))


class DelayedPendulum(DelayedReward):
    """Pendulum, fifty steps long, whose return is paid at the end."""

    def __init__(self, _: Any = None) -> None:
        super().__init__(gym.make("Pendulum-v1", max_episode_steps=50))


class OtherSpaces(DelayedCartPole):
    """Each worker has another number of actions."""

    def __init__(self, context: Any) -> None:
        super().__init__()
        self.action_space = gym.spaces.Discrete(2, start=context.worker_index)


class Witness(ConnectorV2):
    """Sees the rewards that the learner sees; episodes are told apart by their identities."""

    seen: ClassVar[defaultdict[str, list[np.ndarray]]] = defaultdict(list)

    def __call__(self, *, rl_module: Any, batch: dict[str, Any], episodes: list[Any], **_: Any) -> dict[str, Any]:
        for episode in episodes:
            self.seen[episode.id_.partition("_")[0]].append(np.array(episode.get_rewards()))
        return batch


def small(config: AlgorithmConfig, env: Any = DelayedCartPole) -> AlgorithmConfig:
    """Two EnvRunners with two environments each, and networks of eight cells."""
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

    return (
        config.environment(env)
        .env_runners(num_env_runners=2, num_envs_per_env_runner=2, rollout_fragment_length=32)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[8]))
        .debugging(log_level="ERROR")
    )
