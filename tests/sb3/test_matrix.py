"""Every algorithm on every space with every credit: what is supported trains, what is not says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC, HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecFrameStack, VecNormalize

from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.sb3 import (
    EpisodicCredit,
    RedistributedDictReplayBuffer,
    RedistributedDictRolloutBuffer,
    RedistributedReplayBuffer,
    RedistributedRewardVecEnv,
    RedistributedRolloutBuffer,
    RedistributionCallback,
)
from rudder_lrp.sb3.contrib import (
    RedistributedMaskableDictRolloutBuffer,
    RedistributedMaskableRolloutBuffer,
    use_episodic_credit,
)
from tests.sb3.play import QUICK

OBSERVATIONS: dict[str, spaces.Space] = {
    "box": spaces.Box(-1.0, 1.0, (3,), np.float32),
    "discrete": spaces.Discrete(4),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
    "dict": spaces.Dict(a=spaces.Box(-1.0, 1.0, (2,), np.float32), b=spaces.Discrete(3)),
    "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
}
ACTIONS: dict[str, spaces.Space] = {
    "box": spaces.Box(-2.0, 2.0, (2,), np.float32),
    "discrete": spaces.Discrete(3),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(2),
}
ON_POLICY = {
    "PPO": list(ACTIONS),
    "A2C": list(ACTIONS),
    "TRPO": list(ACTIONS),
    "RecurrentPPO": list(ACTIONS),
    "MaskablePPO": ["discrete", "multidiscrete", "multibinary"],
}
OFF_POLICY = {
    **{name: ["discrete"] for name in ("DQN", "QRDQN")},
    **{name: ["box"] for name in ("SAC", "TD3", "DDPG", "TQC", "CrossQ")},
}
REFUSED_BY_SB3 = [("CrossQ", "dict"), ("CrossQ", "image"), ("RecurrentPPO", "multidiscrete")]
# Fails without any credit too: sb3-contrib 2.9 hands the policy integer actions where its loss wants floats.
ON_POLICY["RecurrentPPO"].remove("multibinary")


class Sampled(gym.Env[Any, Any]):
    """Samples its observations; pays at the end of an episode of 3 to 8 steps for what was seen and done."""

    def __init__(self, observation: str, action: str) -> None:
        self.observation_space = OBSERVATIONS[observation]
        self.action_space = ACTIONS[action]

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left, self.owed = int(self.np_random.integers(3, 9)), 0.0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.left -= 1
        self.owed += float(np.sum(action)) + self.np_random.normal()
        over = self.left == 0
        return self.observation_space.sample(), self.owed if over else 0.0, over, False, {}

    def action_masks(self) -> np.ndarray:
        sizes = {"discrete": 3, "multidiscrete": 5, "multibinary": 4}
        name = next(name for name, space in ACTIONS.items() if space == self.action_space)
        return np.ones(sizes[name], dtype=bool)


def algorithm_class(name: str) -> type[BaseAlgorithm]:
    return getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)


def wrapped(env: VecEnv | None = None, observation: str = "box", action: str = "discrete") -> RedistributedRewardVecEnv:
    if env is None:
        env = make_vec_env(lambda: Sampled(observation, action), n_envs=2, seed=0)
    return RedistributedRewardVecEnv(env, training=QUICK, train_every=128, min_lessons=8)


def policy_name(algorithm: str, observation: str) -> str:
    kind = {"dict": "MultiInput", "image": "Cnn"}.get(observation, "Mlp")
    return f"{kind}LstmPolicy" if algorithm == "RecurrentPPO" else f"{kind}Policy"


def small(algorithm: str, observation: str) -> dict[str, Any]:
    options: dict[str, Any] = {"device": "cpu", "seed": 0, "policy_kwargs": {"net_arch": [8]}}
    if observation == "image":
        options["policy_kwargs"]["features_extractor_kwargs"] = {"features_dim": 8}
    if algorithm in ON_POLICY:
        options |= {"n_steps": 32} | ({} if algorithm == "A2C" else {"batch_size": 32})
        options |= {"n_epochs": 1} if algorithm in ("PPO", "MaskablePPO", "RecurrentPPO") else {}
    else:
        options |= {"buffer_size": 500, "learning_starts": 80, "train_freq": 16, "batch_size": 16}
    if algorithm == "RecurrentPPO":
        options["policy_kwargs"] |= {"lstm_hidden_size": 8}
    return options


def build(
    algorithm: str, env: RedistributedRewardVecEnv, observation: str, credit: str, outermost: VecEnv | None = None
) -> BaseAlgorithm:
    options = small(algorithm, observation)
    episodic = EpisodicCredit(env, LRPRedistributor(env.predictor)) if credit == "episodic" else None
    dictionaries = observation == "dict"
    if episodic and algorithm == "MaskablePPO":
        kind = RedistributedMaskableDictRolloutBuffer if dictionaries else RedistributedMaskableRolloutBuffer
        options |= {"rollout_buffer_class": kind, "rollout_buffer_kwargs": {"credit": episodic}}
    elif episodic and algorithm in ("PPO", "A2C", "TRPO"):
        kind = RedistributedDictRolloutBuffer if dictionaries else RedistributedRolloutBuffer
        options |= {"rollout_buffer_class": kind, "rollout_buffer_kwargs": {"credit": episodic}}
    elif episodic and algorithm in OFF_POLICY:
        replay = RedistributedDictReplayBuffer if dictionaries else RedistributedReplayBuffer
        options |= {"replay_buffer_class": replay, "replay_buffer_kwargs": {"credit": episodic}}
    model = algorithm_class(algorithm)(policy_name(algorithm, observation), outermost or env, **options)
    if episodic and algorithm == "RecurrentPPO":
        use_episodic_credit(model, episodic)
    return model


def train(algorithm: str, observation: str, action: str, credit: str, steps: int) -> None:
    env = wrapped(observation=observation, action=action)
    model = build(algorithm, env, observation, credit)
    model.learn(steps, callback=RedistributionCallback())
    assert model.num_timesteps >= steps
    assert env.online.version > 0
    held = model.rollout_buffer if isinstance(model, OnPolicyAlgorithm) else model.replay_buffer
    assert np.isfinite(held.rewards).all()
    if credit == "episodic":
        assert hasattr(held, "credit")


CELLS = [
    (algorithm, observation, actions[0], credit)
    for algorithm, actions in (ON_POLICY | OFF_POLICY).items()
    for observation in OBSERVATIONS
    for credit in ("causal", "episodic")
    if (algorithm, observation) not in REFUSED_BY_SB3
] + [
    (algorithm, "box", action, credit)
    for algorithm, actions in ON_POLICY.items()
    for action in actions[1:]
    for credit in ("causal", "episodic")
]
A_FEW = [
    *[(algorithm, "box", actions[0], "episodic") for algorithm, actions in (ON_POLICY | OFF_POLICY).items()],
    *[("PPO", observation, "discrete", "causal") for observation in OBSERVATIONS if observation != "box"],
    ("PPO", "dict", "multidiscrete", "episodic"),
    ("PPO", "box", "multibinary", "causal"),
    ("DQN", "dict", "discrete", "episodic"),
    ("RecurrentPPO", "dict", "discrete", "episodic"),
    ("MaskablePPO", "dict", "discrete", "episodic"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "observation", "action", "credit"), CELLS, ids=lambda name: name)
def test_a_supported_cell_trains_2000_steps(algorithm, observation, action, credit) -> None:
    train(algorithm, observation, action, credit, 2000)


@pytest.mark.parametrize(("algorithm", "observation", "action", "credit"), A_FEW, ids=lambda name: name)
def test_a_supported_cell_trains(algorithm, observation, action, credit) -> None:
    train(algorithm, observation, action, credit, 160)


@pytest.mark.parametrize(("algorithm", "observation"), REFUSED_BY_SB3, ids=lambda name: name)
def test_what_the_algorithm_itself_lacks_stays_refused_in_its_words(algorithm, observation) -> None:
    with pytest.raises((ValueError, AssertionError, KeyError, NotImplementedError, TypeError)):
        build(algorithm, wrapped(observation=observation, action="box"), observation, "causal")


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (PPO, lambda credit: {"rollout_buffer_class": RedistributedRolloutBuffer, "rollout_buffer_kwargs": credit}),
        (DQN, lambda credit: {"replay_buffer_class": RedistributedReplayBuffer, "replay_buffer_kwargs": credit}),
    ],
)
def test_a_buffer_of_arrays_refuses_dictionaries(algorithm: Callable[..., Any], options: Callable[..., Any]) -> None:
    env = wrapped(observation="dict")
    credit = {"credit": EpisodicCredit(env, LRPRedistributor(env.predictor))}
    with pytest.raises(TypeError, match="use the redistributed buffer with Dict in its name"):
        algorithm("MultiInputPolicy", env, device="cpu", **options(credit))


WRAPPERS: dict[str, Callable[[VecEnv], VecEnv]] = {
    "VecNormalize": lambda env: VecNormalize(env, norm_reward=False),
    "VecFrameStack": lambda env: VecFrameStack(env, 2),
}


@pytest.mark.parametrize("below", [True, False], ids=["below", "above"])
@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
@pytest.mark.parametrize("wrapper", list(WRAPPERS))
def test_other_wrappers_go_below_and_above(wrapper, algorithm, below) -> None:
    plain = make_vec_env(lambda: Sampled("box", "discrete"), n_envs=2, seed=0)
    env = wrapped(WRAPPERS[wrapper](plain) if below else plain)
    model = build(algorithm, env, "box", "episodic", None if below else WRAPPERS[wrapper](env))
    model.learn(160, callback=RedistributionCallback())
    assert env.online.version > 0


def test_environments_may_live_in_other_processes() -> None:
    fork = {"start_method": "fork"}
    env = wrapped(
        make_vec_env(
            lambda: Sampled("dict", "discrete"), n_envs=2, seed=0, vec_env_cls=SubprocVecEnv, vec_env_kwargs=fork
        )
    )
    build("PPO", env, "dict", "episodic").learn(192, callback=RedistributionCallback())
    assert env.online.lessons.seen > 10
    env.close()


def test_action_noise_is_part_of_what_the_predictor_sees() -> None:
    env = wrapped(action="box")
    noise = NormalActionNoise(np.zeros(2), np.full(2, 0.3))
    SAC("MlpPolicy", env, action_noise=noise, **small("SAC", "box")).learn(300)
    lesson = env.online.lessons.training[-1]
    columns = [at for at, name in enumerate(env.predictor.features.names) if name.startswith("action")]
    assert np.ptp(lesson.features[:, columns]) > 0.0


class Goals(Sampled):
    """A goal-conditioned environment, such as hindsight replay asks for."""

    def __init__(self) -> None:
        box = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = spaces.Dict(observation=box, achieved_goal=box, desired_goal=box)
        self.action_space = ACTIONS["box"]

    def compute_reward(self, achieved: np.ndarray, desired: np.ndarray, info: Any) -> np.ndarray:
        return -np.linalg.norm(achieved - desired, axis=-1)


def test_hindsight_goals_are_refused() -> None:
    env = wrapped(make_vec_env(Goals, n_envs=2, seed=0))
    options = small("SAC", "dict") | {"learning_starts": 50, "replay_buffer_class": HerReplayBuffer}
    with pytest.raises(ValueError, match="HerReplayBuffer invents goals"):
        SAC("MultiInputPolicy", env, **options).learn(200)
