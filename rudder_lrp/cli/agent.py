"""Stable-Baselines3 agents with or without credit, from a small typed config.

The agent's hyperparameters belong to the environment, were chosen on the agent without credit, and are the same
for every credit.
"""

from __future__ import annotations

import importlib
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from rudder_lrp.cli.algorithms import (
    HYPERPARAMETERS,
    episodic_buffer,
    find_algorithm,
    learns_from_replay,
    policy_for,
)
from rudder_lrp.cli.environments import Delay, environment_factory
from rudder_lrp.cli.hyperparameters import (
    ZooEntry,
    check_arguments,
    check_at_least,
    parse_assignments,
    read_zoo_file,
)
from rudder_lrp.prediction.quality import Target
from rudder_lrp.redistribution import (
    DifferenceRedistributor,
    IRCRRedistributor,
    LRPRedistributor,
    RandomizedConfig,
    RandomizedRedistributor,
    Redistributor,
    UniformRedistributor,
)
from rudder_lrp.redistribution.base import Residual
from rudder_lrp.redistribution.config import ON_POLICY, REPLAYED, CreditConfig
from rudder_lrp.sb3 import EpisodicCredit, RedistributedRewardVecEnv


class Credit(StrEnum):
    """Where the agent's reward comes from."""

    LRP = "lrp"
    """Relevance of each step for the predicted return."""
    DIFFERENCE = "difference"
    """What each step changed in the predicted return."""
    RRD = "rrd"
    """A reward model of single steps (randomized return decomposition, Ren et al. 2022)."""
    IRCR = "ircr"
    """What episodes with the same transition returned (iterative relative credit refinement, Gangwani et al. 2020)."""
    UNIFORM = "uniform"
    """The same at every step of an episode."""
    NONE = "none"
    """The environment's own reward."""


@dataclass(frozen=True)
class AgentConfig:
    """One agent on one environment.

    Raises:
        ValueError: if the credit or the delay is none there is, a hyperparameter is no `key=value`, or a number is too
            small.
    """

    env: str = "CartPole-v1"
    """Id of a registered environment; package.module:Name-v0 imports the module first."""
    algo: str = "PPO"
    """Algorithm of Stable-Baselines3 or sb3-contrib."""
    credit: Credit = Credit.LRP
    """Where the agent's reward comes from."""
    n_envs: int = 8
    """Parallel environments."""
    delay: Delay | int = Delay.AUTO
    """When the reward is paid: auto, end, none, or every so many steps."""
    seed: int = 0
    """Of environment, agent and predictor."""
    algo_kwargs: tuple[str, ...] = ()
    """Hyperparameters of the algorithm as key=value."""
    algo_file: Path | None = None
    """Hyperparameters in a YAML file of RL Zoo's format; those of --algo-kwargs win."""
    redistribution: CreditConfig = ON_POLICY
    """How the predictor learns; left as it is, for off-policy algorithms as `REPLAYED` says."""
    rrd: RandomizedConfig = field(default_factory=RandomizedConfig)
    """How the reward model of credit rrd learns."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "credit", Credit(self.credit))
        object.__setattr__(self, "delay", self.delay if isinstance(self.delay, int) else Delay(self.delay))
        object.__setattr__(self, "algo_kwargs", tuple(self.algo_kwargs))
        parse_assignments(self.algo_kwargs)
        check_at_least(1, n_envs=self.n_envs)
        check_at_least(0, seed=self.seed)

    @cached_property
    def zoo(self) -> ZooEntry:
        """What the YAML file says; nothing, if there is none."""
        return ZooEntry() if self.algo_file is None else read_zoo_file(self.algo_file, self.env)

    @property
    def parallel(self) -> int:
        """Environments that step together: those of the YAML file, if it says so."""
        return self.zoo.n_envs or self.n_envs


def redistribution_of(config: AgentConfig) -> CreditConfig:
    """How the predictor learns: as the config says, or where that was left as it is, as suits the algorithm."""
    replayed = learns_from_replay(config.algo)
    return REPLAYED if replayed and config.redistribution == ON_POLICY else config.redistribution


def make_environment(config: AgentConfig) -> VecEnv:
    """Build the vectorised environment with its delay, without credit; see `environment_factory`.

    Raises:
        ValueError: if there is no such environment, or a package is missing that it needs.
    """
    factory = environment_factory(config.env, config.delay)
    try:
        return make_vec_env(factory, n_envs=config.parallel, seed=config.seed)
    except (gym.error.Error, ImportError, NotImplementedError) as error:
        raise ValueError(f"{config.env} cannot be built: {error}") from error


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
    arguments = _arguments(config) | {"seed": config.seed, "device": "cpu"} | options
    env = make_environment(config)
    _check_actions(config, env)
    if config.credit is Credit.NONE:
        return _construct(config, normalised(env, config), arguments)
    credited = RedistributedRewardVecEnv(env, _credit_config(config), seed=config.seed)
    redistributor = redistributor_for(config, credited)
    # What is replayed goes stale, unless it is redistributed anew.
    episodic = learns_from_replay(config.algo) or not redistributor.causal
    if not episodic:
        return _construct(config, normalised(credited, config), arguments)
    credit = EpisodicCredit(credited, redistributor)
    episodic_buffer(config.algo, env.observation_space, credit, arguments)
    model = _construct(config, normalised(credited, config), arguments)
    if config.algo == "RecurrentPPO":
        importlib.import_module("rudder_lrp.sb3.contrib").use_episodic_credit(model, credit)
    return model


def _check_actions(config: AgentConfig, env: VecEnv) -> None:
    if isinstance(env.action_space, gym.spaces.Discrete) and env.action_space.start:
        raise ValueError(
            f"{config.env} counts its actions from {env.action_space.start}, and Stable-Baselines3 from 0; register it "
            "with a wrapper that shifts them"
        )
    if config.algo == "MaskablePPO" and not env.has_attr("action_masks"):
        raise ValueError(
            f"MaskablePPO cannot act in {config.env}: it has no method action_masks; give it one, or choose PPO"
        )


def _arguments(config: AgentConfig) -> dict[str, Any]:
    own = config.zoo.arguments | parse_assignments(config.algo_kwargs)
    check_arguments(find_algorithm(config.algo), own)
    # A copy, because Stable-Baselines3 adds to the policy's options. A file replaces all that was chosen here.
    chosen = {} if config.algo_file is not None else deepcopy(HYPERPARAMETERS.get(config.algo, {}))
    return chosen | own


def _credit_config(config: AgentConfig) -> CreditConfig:
    chosen = redistribution_of(config)
    if isinstance(config.delay, Delay):
        return chosen
    # Payments on the way come late, too.
    return replace(chosen, training=replace(chosen.training, target=Target.OUTSTANDING))


def normalised(env: VecEnv, config: AgentConfig) -> VecEnv:
    """The environment below a `VecNormalize`, if the config's YAML file asks for one."""
    if config.zoo.normalize is None:
        return env
    options = {"norm_reward": False} if config.credit is not Credit.NONE else {}
    return VecNormalize(env, **(config.zoo.normalize | options))


def _construct(config: AgentConfig, env: VecEnv, arguments: dict[str, Any]) -> BaseAlgorithm:
    policy = config.zoo.policy or policy_for(config.algo, env.observation_space)
    try:
        return find_algorithm(config.algo)(policy, env, **arguments)
    except (AssertionError, NotImplementedError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or "it refuses the spaces"
        if "space" in reason:
            raise ValueError(f"{config.algo} cannot act in {config.env}: {reason}; choose another algorithm") from error
        raise ValueError(f"{config.algo} refuses its hyperparameters: {reason}; mend or leave out that one") from error


def redistributor_for(config: AgentConfig, env: RedistributedRewardVecEnv) -> Redistributor:
    """The redistribution that a config asks for.

    What replayed episodes leave unexplained is spread: at the last step a critic that has no memory would have to guess
    it, again and again.
    """
    features = env.predictor.features
    match config.credit:
        case Credit.RRD:
            return RandomizedRedistributor(features, config=config.rrd, seed=config.seed)
        case Credit.IRCR:
            return IRCRRedistributor(features)
        case Credit.UNIFORM:
            return UniformRedistributor(features)
    explain = DifferenceRedistributor if config.credit is Credit.DIFFERENCE else LRPRedistributor
    return explain(env.predictor, Residual.SPREAD if learns_from_replay(config.algo) else Residual.LAST)
