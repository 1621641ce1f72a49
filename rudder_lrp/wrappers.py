"""Causal credit for code that steps plain Gymnasium environments, one or many at once.

Statistics of true returns come from a `RecordEpisodeStatistics` below these wrappers; the true reward of each step is
in `info["true_reward"]`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from rudder_lrp.episodes.episode import Array, Observations, as_array, map_arrays
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution.causal import CausalCredit, HandsOutCredit
from rudder_lrp.redistribution.config import ON_POLICY, CreditConfig, takes_options

if TYPE_CHECKING:
    _VectorWrapper = VectorWrapper[Any, Any, Any, Any, Any]
else:
    _VectorWrapper = VectorWrapper  # generic only since Gymnasium 1.3


logger = logging.getLogger(__name__)


class RedistributedReward(HandsOutCredit, gym.Wrapper[Any, Any, Any, Any]):
    """Collects lessons from one environment, trains a predictor now and then, and hands out redistributed rewards.

    The rewards of an episode sum to its true return; see `rudder_lrp.redistribution.causal.CausalCredit`.

    Args:
        env: the environment.
        config: what predictor, lessons and training are like.
        predictor: in place of the one that the config describes.
        seed: of the predictor's weights and the choice of lessons.
        options: fields of the config to change.

    Raises:
        TypeError: if a space is not supported, or there is no such option.
        ValueError: if rewards are redistributed below already.
    """

    @takes_options
    def __init__(
        self,
        env: gym.Env[Any, Any],
        config: CreditConfig = ON_POLICY,
        *,
        predictor: ReturnPredictor | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(env)
        _refuse_twice(env)
        spaces = env.observation_space, env.action_space
        config = config.changed(options, own_predictor=predictor is not None)
        self.credit = CausalCredit.for_spaces(*spaces, 1, config, predictor, seed)
        self._running = False
        self._told_of_interruption = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset; an unfinished episode is no lesson."""
        self._told_of_interruption |= _tell_of_interruption(self.credit, self._told_of_interruption)
        observation, info = self.env.reset(seed=seed, options=options)
        self._observation = _batch_of_one(observation)
        self.credit.restart()
        self._running = True
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and hand out what the step earns.

        Raises:
            RuntimeError: before the first reset, or after the end of an episode.
            ValueError: if the reward is no number, or something is not finite.
        """
        if not self._running:
            raise RuntimeError("there is no running episode to step; reset the environment first")
        observation, reward, terminated, truncated, info = self.env.step(action)
        after = _batch_of_one(observation)
        rewards, last = _one_reward(reward), np.array([bool(terminated) or bool(truncated)])
        handed = self.credit.step(self._observation, _batch_of_one(action), rewards, after, last)
        self._observation, self._running = after, not last[0]
        return observation, float(handed[0]), terminated, truncated, {**info, "true_reward": float(rewards[0])}


def _refuse_twice(env: Any) -> None:
    while isinstance(env, gym.Wrapper | VectorWrapper):
        if isinstance(env, RedistributedReward | RedistributedVectorReward):
            raise ValueError("the rewards of this environment are redistributed already; wrap it once")
        env = env.env


def _one_reward(reward: Any) -> NDArray[np.float64]:
    rewards = as_array(reward)
    if rewards.size != 1 or rewards.dtype.kind not in "biufO":
        raise ValueError(f"the environment paid {reward!r}; a reward is one number a step")
    return rewards.reshape(1).astype(np.float64)


def _tell_of_interruption(credit: CausalCredit, told: bool, where: NDArray[np.bool_] | None = None) -> bool:
    """Say once that an episode was reset before it was over; true if it was said."""
    if told or not credit.training or not credit.interrupts(where):
        return False
    logger.warning(
        "an episode was reset before it was over: what its steps were handed does not sum to what they were paid; put "
        "a TimeLimit below this wrapper, not above it, or set env.training = False to evaluate"
    )
    return True


def _copy(array: Any) -> Array:
    return np.array(as_array(array))


def _batch_of_one(values: Any) -> Observations:
    return map_arrays(lambda array: _copy(array)[None], values)


class RedistributedVectorReward(HandsOutCredit, _VectorWrapper):
    """The same for N environments at once, in every autoreset mode.

    Args:
        env: the vectorised environment; its metadata must name its `autoreset_mode`.
        config: what predictor, lessons and training are like.
        predictor: in place of the one that the config describes.
        seed: of the predictor's weights and the choice of lessons.
        options: fields of the config to change.

    Raises:
        TypeError: if a space is not supported, or there is no such option.
        ValueError: if the autoreset mode is unknown, or rewards are redistributed below already.
    """

    @takes_options
    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        config: CreditConfig = ON_POLICY,
        *,
        predictor: ReturnPredictor | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(env)
        _refuse_twice(env)
        mode = env.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                f"the metadata of {env} name no autoreset_mode (found {mode!r}), so nobody can tell where episodes "
                "end; set metadata['autoreset_mode'] to a gymnasium.vector.AutoresetMode"
            )
        self._mode = mode
        self._over = np.zeros(env.num_envs, dtype=bool)
        spaces = env.single_observation_space, env.single_action_space
        config = config.changed(options, own_predictor=predictor is not None)
        self.credit = CausalCredit.for_spaces(*spaces, env.num_envs, config, predictor, seed)
        self._told_of_interruption = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of `options["reset_mask"]`; unfinished episodes are no lessons."""
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool))
        self._told_of_interruption |= _tell_of_interruption(self.credit, self._told_of_interruption, mask)
        observations, infos = self.env.reset(seed=seed, options=options)
        self._observations = map_arrays(_copy, observations)
        self._over = self._over & ~mask
        self.credit.restart(mask)
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Step, and hand out what the steps earn.

        Raises:
            RuntimeError: if an environment that does not reset itself is stepped after its end.
            ValueError: if an observation that an episode ended in is missing, or something is not finite.
        """
        if self._mode is AutoresetMode.DISABLED and self._over.any():
            raise RuntimeError(
                f"environments {np.flatnonzero(self._over).tolist()} are over and do not reset themselves; call "
                "reset(options={'reset_mask': ...}) first"
            )
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        rewards, over = as_array(rewards).astype(np.float64), as_array(terminations) | as_array(truncations)
        # In the mode "next step", the step after an episode's last is a reset.
        running = ~self._over if self._mode is AutoresetMode.NEXT_STEP else np.ones(self.num_envs, dtype=bool)
        ends = self._ends(observations, over, infos)
        handed = self.credit.step(self._observations, actions, rewards, ends, over, running)
        self._observations, self._over = map_arrays(_copy, observations), over
        infos = infos | {"true_reward": np.copy(rewards), "_true_reward": running}
        return observations, handed.astype(np.float64), terminations, truncations, infos

    def _ends(self, observations: Observations, over: NDArray[np.bool_], infos: dict[str, Any]) -> Observations:
        if self._mode is not AutoresetMode.SAME_STEP or not over.any():
            return observations
        ends = map_arrays(_copy, observations)
        for index in np.flatnonzero(over).tolist():
            final = infos["final_obs"][index] if "final_obs" in infos else None
            if final is None:
                raise ValueError(
                    f"environment {index} is over and reset itself in the same step, but the infos hold no final_obs "
                    "of it; use a vectorised environment that keeps it, or another autoreset mode"
                )
            map_arrays(lambda rows, row, at=index: rows.__setitem__(at, row), ends, final)
        return ends
