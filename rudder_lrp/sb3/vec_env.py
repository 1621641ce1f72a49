"""Redistributed rewards for any Stable-Baselines3 algorithm: a wrapper around its vectorised environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_normalize, unwrap_vec_wrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from rudder_lrp.episodes.episode import map_arrays, repair_terminal
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.redistribution.causal import CausalCredit, FinishedEpisode, HandsOutCredit
from rudder_lrp.redistribution.config import ON_POLICY, CreditConfig, takes_options


class RedistributedRewardVecEnv(HandsOutCredit, VecEnvWrapper):
    """Collects lessons, trains its predictor now and then, and hands out redistributed rewards.

    While an episode runs, each step earns what it changed in the predicted return (on the leaky structure and the
    accumulator that is its LRP relevance); its last step earns whatever is left of the true return. The agent gets the
    mixture `q * redistributed + (1 - q) * original`, where q is the predictor's quality on held-out lessons: until
    it explains them, the environment's own reward. All of these sum to the true return of the episode.

    The true reward of each step stays in `info["true_reward"]`; a `Monitor` below the wrapper logs true returns.

    Args:
        venv: any Stable-Baselines3 `VecEnv`.
        config: what predictor, lessons and training are like; `REPLAYED` where the rewards go into a replay buffer.
        predictor: in place of the one that the config describes.
        seed: of the predictor's weights and the choice of lessons.
        options: fields of the config to change.

    Raises:
        TypeError: if a space is not supported, or there is no such option.
        ValueError: if `predictor` was made for other spaces, a `VecNormalize` below changes the rewards, or they are
            redistributed below already.
    """

    @takes_options
    def __init__(
        self,
        venv: VecEnv,
        config: CreditConfig = ON_POLICY,
        *,
        predictor: ReturnPredictor | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(venv)
        if unwrap_vec_wrapper(venv, RedistributedRewardVecEnv) is not None:
            raise ValueError("the rewards of this environment are redistributed already; wrap it once")
        spaces = venv.observation_space, venv.action_space
        config = config.changed(options, own_predictor=predictor is not None)
        self.credit = CausalCredit.for_spaces(*spaces, venv.num_envs, config, predictor, seed)
        self.resets = 0
        """How often all environments were reset from outside."""
        self._finished: list[FinishedEpisode] | None = None
        self._observations: VecEnvObs | None = None
        self._normalization_below = unwrap_vec_normalize(venv)
        if self._normalization_below is not None and self._normalization_below.norm_reward:
            raise ValueError(
                "the VecNormalize below RedistributedRewardVecEnv rescales rewards while they come in, so returns "
                "could not be compared with each other; build it with norm_reward=False, or put it above"
            )

    @property
    def online(self) -> OnlinePredictor:
        """The predictor with its lessons, its trainer and how far it is trusted."""
        return self.credit.online

    @property
    def predictor(self) -> ReturnPredictor:
        """The predictor whose predictions are redistributed."""
        return self.online.predictor

    @property
    def vec_steps(self) -> int:
        """Vectorised steps so far; each is `num_envs` environment steps."""
        return self.credit.steps

    @property
    def just_finished(self) -> list[FinishedEpisode]:
        """The episodes that the latest step ended."""
        return self.credit.finished

    def reset(self) -> VecEnvObs:
        """Reset all environments; unfinished episodes are no lessons."""
        observations = self.venv.reset()
        self._observations = map_arrays(np.copy, observations)
        self.credit.restart()
        self.resets += 1
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Send the actions."""
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Return the step with redistributed rewards; now and then, train the predictor.

        Raises:
            RuntimeError: before the first reset.
            ValueError: if a reward or an observation is not finite, or a terminal observation is missing.
        """
        if self._observations is None:
            raise RuntimeError("reset the environment before stepping it")
        observations, rewards, dones, infos = self.venv.step_wait()
        rewards = np.asarray(rewards)
        ends = repair_terminal(observations, dones, infos)
        handed = self.credit.step(self._observations, self._actions, rewards, ends, dones)
        self._observations = map_arrays(np.copy, observations)
        for info, reward in zip(infos, rewards.tolist(), strict=True):
            info["true_reward"] = reward
        if self._finished is not None:
            self._finished += self.credit.finished
        if self._normalization_below is not None and self.training:
            # Off-policy algorithms fetch the raw reward from the VecNormalize, wherever it is.
            self._normalization_below.old_reward = handed
        return observations, handed, dones, infos

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **options: Any) -> list[Any]:
        """Call a method of the environments.

        Raises:
            ValueError: if it is the `compute_reward` of hindsight goals, which no return can be redistributed to.
        """
        if method_name == "compute_reward":
            raise ValueError(
                "HerReplayBuffer invents goals and rewards that no episode was paid for, so there is no return to "
                "redistribute; use it without RedistributedRewardVecEnv, or use RedistributedReplayBuffer instead"
            )
        return self.venv.env_method(method_name, *args, indices=indices, **options)

    def keep_finished_episodes(self) -> None:
        """Remember finished episodes from now on, until `take_finished_episodes` asks for them."""
        self._finished = []

    def take_finished_episodes(self) -> list[FinishedEpisode]:
        """Episodes that ended since this was last asked; forgets them."""
        finished, self._finished = self._finished or [], []
        return finished
