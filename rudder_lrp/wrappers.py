"""Causal credit for code that steps plain Gymnasium environments, one or many at once.

Statistics of true returns come from a `RecordEpisodeStatistics` below these wrappers; the true reward of each step is
in `info["true_reward"]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from rudder_lrp.episodes.episode import Array, Observations, map_arrays
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution.causal import CausalCredit
from rudder_lrp.redistribution.config import ON_POLICY, CreditConfig, takes_options

if TYPE_CHECKING:
    _VectorWrapper = VectorWrapper[Any, Any, Any, Any, Any]
else:
    _VectorWrapper = VectorWrapper  # generic only since Gymnasium 1.3


class RedistributedReward(gym.Wrapper[Any, Any, Any, Any]):
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
        spaces = env.observation_space, env.action_space
        self.credit = CausalCredit.for_spaces(*spaces, 1, config.changed(options), predictor, seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset; an unfinished episode is no lesson."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._observation = _batch_of_one(observation)
        self.credit.restart()
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and hand out what the step earns."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        after = _batch_of_one(observation)
        rewards, last = np.array([float(reward)]), np.array([terminated or truncated])
        handed = self.credit.step(self._observation, _batch_of_one(action), rewards, after, last)
        self._observation = after
        return observation, float(handed[0]), terminated, truncated, {**info, "true_reward": float(reward)}


def _batch_of_one(values: Any) -> Observations:
    return map_arrays(lambda array: np.array(array)[None], values)


class RedistributedVectorReward(_VectorWrapper):
    """The same for N environments at once, in every autoreset mode.

    Args:
        env: the vectorised environment; its metadata must name its `autoreset_mode`.
        config: what predictor, lessons and training are like.
        predictor: in place of the one that the config describes.
        seed: of the predictor's weights and the choice of lessons.
        options: fields of the config to change.

    Raises:
        TypeError: if a space is not supported, or there is no such option.
        ValueError: if the autoreset mode is unknown.
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
        mode = env.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                f"the metadata of {env} name no autoreset_mode (found {mode!r}), so nobody can tell where episodes "
                "end; set metadata['autoreset_mode'] to a gymnasium.vector.AutoresetMode"
            )
        self._mode = mode
        self._over = np.zeros(env.num_envs, dtype=bool)
        spaces = env.single_observation_space, env.single_action_space
        self.credit = CausalCredit.for_spaces(*spaces, env.num_envs, config.changed(options), predictor, seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of `options["reset_mask"]`; unfinished episodes are no lessons."""
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool))
        observations, infos = self.env.reset(seed=seed, options=options)
        self._observations = map_arrays(np.copy, observations)
        self._over = self._over & ~mask
        self.credit.restart(mask)
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Step, and hand out what the steps earn."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        over = terminations | truncations
        # In the mode "next step", the step after an episode's last is a reset.
        running = ~self._over if self._mode is AutoresetMode.NEXT_STEP else np.ones(self.num_envs, dtype=bool)
        ends = self._ends(observations, over, infos)
        handed = self.credit.step(self._observations, actions, np.asarray(rewards), ends, over, running)
        self._observations, self._over = map_arrays(np.copy, observations), over
        infos = infos | {"true_reward": np.copy(rewards), "_true_reward": running}
        return observations, handed.astype(np.float64), terminations, truncations, infos

    def _ends(self, observations: Observations, over: NDArray[np.bool_], infos: dict[str, Any]) -> Observations:
        if self._mode is not AutoresetMode.SAME_STEP or not over.any():
            return observations
        ends = map_arrays(np.copy, observations)
        for index in np.flatnonzero(over).tolist():
            final = infos["final_obs"][index]
            map_arrays(lambda rows, row, at=index: rows.__setitem__(at, row), ends, final)
        return ends
