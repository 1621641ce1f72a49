"""Stable-Baselines3 algorithms with or without credit, from a small typed config.

The agent's hyperparameters belong to the environment, were chosen on the agent without credit, and are the same
for every credit.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import gymnasium as gym
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

import envs
from rudder_lrp.prediction.quality import Target
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor, Redistributor
from rudder_lrp.redistribution.config import ON_POLICY, REPLAYED, CreditConfig
from rudder_lrp.sb3 import (
    EpisodicCredit,
    RedistributedReplayBuffer,
    RedistributedRewardVecEnv,
    RedistributedRolloutBuffer,
)

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"PPO": PPO, "A2C": A2C, "DQN": DQN, "SAC": SAC, "TD3": TD3}
_LEARN_ONCE = ("PPO", "A2C")

# The RL Zoo's learning rate for Pendulum, and networks that are large enough for the dense reward of small tasks.
_SMALL: dict[str, Any] = {"learning_rate": 1e-3, "learning_starts": 1000, "policy_kwargs": {"net_arch": [64, 64]}}

_PPO: dict[str, Any] = {"n_steps": 256, "batch_size": 256, "ent_coef": 0.01}
_RECURRENT = "RecurrentPPO"

_HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "PPO": _PPO,
    "A2C": {},
    "DQN": {},
    "SAC": _SMALL,
    "TD3": _SMALL,
    # Cells as many as PPO's own layers have units.
    _RECURRENT: _PPO | {"policy_kwargs": {"lstm_hidden_size": 64}},
}


class Credit(StrEnum):
    """Where the agent's reward comes from."""

    LRP = "lrp"
    """Relevance of each step for the predicted return."""
    DIFFERENCE = "difference"
    """What each step changed in the predicted return."""
    NONE = "none"
    """The environment's own reward."""


class Delay(StrEnum):
    """When a reward is paid, apart from every k steps."""

    AUTO = "auto"
    """At the end for Gymnasium's environments; as they are for those that pay late by themselves."""
    END = "end"
    """All at the last step."""
    NONE = "none"
    """As the environment pays it."""


@dataclass(frozen=True)
class AgentConfig:
    """One agent on one environment."""

    env: str = "rudder_lrp/KeyToDoor-v0"
    """Id of a registered environment."""
    algo: str = "PPO"
    """Stable-Baselines3 algorithm: PPO, A2C, DQN, SAC or TD3; RecurrentPPO without credit."""
    credit: Credit = Credit.LRP
    """Where the agent's reward comes from."""
    n_envs: int = 8
    """Parallel environments."""
    delay: Delay | int = Delay.AUTO
    """When the reward is paid: auto, end, none, or every so many steps."""
    seed: int = 0
    """Of environment, agent and predictor."""
    redistribution: CreditConfig = ON_POLICY
    """How the predictor learns; left as it is, for off-policy algorithms as `REPLAYED` says."""


def redistribution_of(config: AgentConfig) -> CreditConfig:
    """How the predictor learns: as the config says, or where that was left as it is, as suits the algorithm."""
    off_policy = config.algo not in _LEARN_ONCE
    return REPLAYED if off_policy and config.redistribution == ON_POLICY else config.redistribution


def pays_late(env_id: str) -> bool:
    """Whether an environment's reward is delayed by its own rules."""
    return env_id.startswith(f"{envs.NAMESPACE}/")


def environment_factory(env_id: str, delay: Delay | int) -> Callable[[], gym.Env[Any, Any]]:
    """A function that builds one environment with its delay.

    Raises:
        ValueError: if no such environment is registered, or the delay is no positive number of steps.
    """
    try:
        gym.spec(env_id)
    except gym.error.Error as error:
        raise ValueError(
            f"no environment {env_id!r} ({error}); gymnasium.pprint_registry() lists the ids there are"
        ) from error
    if delay is Delay.AUTO:
        delay = Delay.NONE if pays_late(env_id) else Delay.END
    if delay is Delay.NONE:
        return lambda: gym.make(env_id)
    every = None if delay is Delay.END else delay
    return lambda: envs.DelayedReward(gym.make(env_id), every)


def make_environment(config: AgentConfig) -> VecEnv:
    """Build the vectorised environment with its delay, without credit; see `environment_factory`."""
    return make_vec_env(environment_factory(config.env, config.delay), n_envs=config.n_envs, seed=config.seed)


def build_agent(config: AgentConfig, **options: Any) -> BaseAlgorithm:
    """Build the algorithm on its environment, its reward redistributed as the config says.

    Args:
        config: what to build.
        options: further arguments of the algorithm's constructor, such as `tensorboard_log`.

    Raises:
        ValueError: if algorithm, environment or their combination with the credit is not supported.
        TypeError: if a space is not supported.
        ImportError: naming the extra, if sb3-contrib is needed and not installed.
    """
    if config.algo not in _HYPERPARAMETERS:
        raise ValueError(f"unknown algorithm {config.algo!r}; choose one of {', '.join(_HYPERPARAMETERS)}")
    if config.algo == _RECURRENT and config.credit is not Credit.NONE:
        raise ValueError(f"{_RECURRENT} stands for memory in place of credit, got credit {config.credit}; use PPO")
    env = make_environment(config)
    # A copy, because Stable-Baselines3 adds to the policy's options.
    hyperparameters = deepcopy(_HYPERPARAMETERS[config.algo]) | {"seed": config.seed, "device": "cpu"} | options
    if config.credit is Credit.NONE:
        return _construct(config, env, hyperparameters)
    replayed = config.algo not in _LEARN_ONCE
    chosen = redistribution_of(config)
    if not isinstance(config.delay, Delay):  # payments on the way come late, too
        chosen = replace(chosen, training=replace(chosen.training, target=Target.OUTSTANDING))
    env = RedistributedRewardVecEnv(env, chosen, seed=config.seed)
    redistributor = redistributor_for(config, env)
    if replayed or not redistributor.causal:  # what is replayed goes stale, unless it is redistributed anew
        hyperparameters |= _episodic_buffer(config.algo, EpisodicCredit(env, redistributor))
    return _construct(config, env, hyperparameters)


def _episodic_buffer(algo: str, credit: EpisodicCredit) -> dict[str, Any]:
    if algo in _LEARN_ONCE:
        return {"rollout_buffer_class": RedistributedRolloutBuffer, "rollout_buffer_kwargs": {"credit": credit}}
    return {"replay_buffer_class": RedistributedReplayBuffer, "replay_buffer_kwargs": {"credit": credit}}


def _construct(config: AgentConfig, env: VecEnv, hyperparameters: dict[str, Any]) -> BaseAlgorithm:
    policy = "MlpLstmPolicy" if config.algo == _RECURRENT else "MlpPolicy"
    try:
        return _algorithm(config.algo)(policy, env, **hyperparameters)
    except AssertionError as error:  # how Stable-Baselines3 refuses a space
        raise ValueError(f"{config.algo} cannot act in {config.env}: {error}; choose another algorithm") from error


def _algorithm(name: str) -> type[BaseAlgorithm]:
    if name != _RECURRENT:
        return ALGORITHMS[name]
    try:
        from sb3_contrib import RecurrentPPO
    except ImportError as error:
        raise ImportError(f'{name} is part of sb3-contrib: pip install "rudder-lrp[contrib]"') from error
    algorithm: type[BaseAlgorithm] = RecurrentPPO
    return algorithm


def redistributor_for(config: AgentConfig, env: RedistributedRewardVecEnv) -> Redistributor:
    """The redistribution that a config asks for."""
    if config.credit is Credit.DIFFERENCE:
        return DifferenceRedistributor(env.predictor)
    return LRPRedistributor(env.predictor)
