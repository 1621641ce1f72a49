"""Episodic credit: what connects a buffer of Stable-Baselines3 with the wrapper whose episodes it stores."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.prediction.training_config import Predicts
from rudder_lrp.redistribution.base import PredictorRedistributor, Redistributor, Residual, Rewards
from rudder_lrp.redistribution.causal import FinishedEpisode
from rudder_lrp.redistribution.discount import check_discount, keep_discounted_return
from rudder_lrp.redistribution.learning import LearningRedistributor
from rudder_lrp.sb3.vec_env import RedistributedRewardVecEnv

logger = logging.getLogger(__name__)

_PATIENCE = 10  # episodes that ended before it is said that none of them lay within one rollout


class EpisodicCredit:
    """Connects a buffer with the wrapper whose episodes it stores.

    Saved with a model or a buffer it loses the connection, because neither environment nor predictor belong in
    their files; give the loaded one a new connection.

    Args:
        env: the wrapper the algorithm steps.
        redistributor: what to replace the handed-out rewards by.
        gamma: of an agent whose discounted return, not whose return, is to stay the same; see
            `rudder_lrp.redistribution.discount`.

    Raises:
        ValueError: if `gamma` is not within (0, 1], or the redistributor has another predictor than the wrapper, whose
            trust would not be its own.
    """

    def __init__(
        self,
        env: RedistributedRewardVecEnv | None = None,
        redistributor: Redistributor | None = None,
        gamma: float = 1.0,
    ) -> None:
        self.gamma = check_discount(gamma)
        _check_same_predictor(env, redistributor)
        self._env = env
        self._cut_episodes = 0
        self._checked = env.vec_steps if env is not None else 0
        self.redistributor = redistributor
        if env is not None:
            env.keep_finished_episodes()
            env.online.learns = not isinstance(redistributor, LearningRedistributor)

    def __reduce__(self) -> tuple[type[EpisodicCredit], tuple[()]]:
        return EpisodicCredit, ()

    def _connected(self) -> tuple[RedistributedRewardVecEnv, Redistributor]:
        if self._env is None or self.redistributor is None:
            raise RuntimeError(
                "the buffer lost its environment when it was saved; load the model with rollout_buffer_kwargs (or "
                "replay_buffer_kwargs) = {'credit': EpisodicCredit(env, redistributor)}, or set the credit of a loaded "
                "replay buffer to that"
            )
        return self._env, self.redistributor

    @property
    def version(self) -> int:
        """Grows whenever predictor or trust change, and with them the rewards of every episode."""
        env, redistributor = self._connected()
        return redistributor.version if isinstance(redistributor, LearningRedistributor) else env.online.version

    @property
    def vec_steps(self) -> int:
        """Vectorised steps that the wrapper has taken."""
        return self._connected()[0].vec_steps

    @property
    def resets(self) -> int:
        """How often the wrapper was reset; the episodes that ran then are none."""
        return self._connected()[0].resets

    def check_stepped(self, steps: int) -> None:
        """Refuse to go on where the algorithm stepped another environment than the wrapper.

        Args:
            steps: vectorised steps that the algorithm took since this was last asked.

        Raises:
            ValueError: if the wrapper took fewer.
        """
        env, _ = self._connected()
        before, self._checked = self._checked, env.vec_steps
        if env.vec_steps - before < steps:
            raise ValueError(
                f"the algorithm took {steps} steps, the environment of this credit {env.vec_steps - before} (or its "
                "training is off): after model.set_env(other), give its buffer EpisodicCredit(other, redistributor)"
            )

    def learn(self, steps: int) -> None:
        """Teach a redistributor that learns by itself what the wrapper has collected.

        Args:
            steps: environment steps that were taken since this was last called.
        """
        env, redistributor = self._connected()
        if isinstance(redistributor, LearningRedistributor) and env.training:
            redistributor.learn(env.online.lessons, steps)

    def expect_replay(self) -> None:
        """Say so if predictor or redistributor are made for rewards that are learnt from only once."""
        online = self._env.online if self._env is not None else None
        if online is not None and online.learns and online.trainer.config.predicts is not Predicts.SHARE:
            logger.warning(
                "the predictor learns to foresee what the policy will still earn, and the rewards that a replay buffer "
                "keeps would depend on policies of the past; build the wrapper with the config REPLAYED, and a "
                "training of your own with predicts='share'"
            )
        if self.redistributor is not None and self.redistributor.residual is not Residual.SPREAD:
            logger.warning(
                "what the redistributor cannot tell goes to single steps of an episode and what was expected to its "
                "first, and a critic that learns from replay would have to guess both; build it with residual='spread'"
            )

    def take_finished(self) -> list[FinishedEpisode]:
        """Episodes that ended since this was last asked."""
        return self._connected()[0].take_finished_episodes()

    def rewards(self, lessons: Sequence[Lesson]) -> list[Rewards]:
        """What the agent is to get for whole episodes, `[T]` each: as far as it is trusted, what is redistributed.

        The rest is where the redistributor puts what it cannot tell: at the last step, as the environment pays it, or
        spread evenly.

        Raises:
            RuntimeError: if not connected to an environment.
        """
        env, redistributor = self._connected()
        mixed = redistributor.trusted(lessons, env.online.q)
        if self.gamma == 1.0:
            return mixed
        return [keep_discounted_return(new, old.rewards, self.gamma) for new, old in zip(mixed, lessons, strict=True)]

    def adjustments(self, rewards: NDArray[np.float32]) -> NDArray[np.float32]:
        """Corrections `[n_steps, n_envs]` to the rewards of the rollout that has just ended; zero-sum an episode.

        An episode cut by a border of the rollout keeps the causal rewards it was handed.

        Args:
            rewards: what the buffer holds, `[n_steps, n_envs]`; checked against what was handed out.

        Raises:
            RuntimeError: if not connected to an environment.
            ValueError: if the buffer holds other rewards than the wrapper handed out, or steps of another environment.
        """
        self.check_stepped(len(rewards))
        self.learn(rewards.size)
        corrections = np.zeros_like(rewards)
        ended = self.take_finished()
        whole = [episode for episode in ended if self._start(episode, len(rewards)) >= 0]
        self._watch(ended, whole, len(rewards))
        for episode, new in zip(whole, self.rewards([episode.lesson for episode in whole]), strict=True):
            start = self._start(episode, len(rewards))
            rows = slice(start, start + len(new))
            _check_unchanged(rewards[rows, episode.env_index], episode.handed)
            corrections[rows, episode.env_index] = new - episode.handed
        return corrections

    def _start(self, episode: FinishedEpisode, n_steps: int) -> int:
        return n_steps - (self.vec_steps - episode.end) - len(episode.lesson)

    def _watch(self, ended: Sequence[FinishedEpisode], whole: Sequence[FinishedEpisode], n_steps: int) -> None:
        if whole or self._cut_episodes > _PATIENCE:
            self._cut_episodes = _PATIENCE + 1  # seen one, or said so: look no further
            return
        self._cut_episodes += len(ended)
        if self._cut_episodes > _PATIENCE:
            logger.warning(
                "none of the first %d episodes lay within one rollout of n_steps=%d (the latest had %d steps): they "
                "keep their causal rewards and episodic credit changes nothing; raise n_steps to twice an episode",
                self._cut_episodes,
                n_steps,
                len(ended[-1].lesson),
            )


def _check_same_predictor(env: RedistributedRewardVecEnv | None, redistributor: Redistributor | None) -> None:
    own = redistributor.predictor if isinstance(redistributor, PredictorRedistributor) else None
    if env is not None and own is not None and own is not env.predictor:
        raise ValueError(
            "the redistributor asks another predictor than the one that the wrapper trains and says how far to trust; "
            "build it with env.predictor, or the wrapper with predictor=..."
        )


def _check_unchanged(held: NDArray[np.float32], handed: Rewards) -> None:
    # The last step is left out: it may hold a bootstrapped value.
    if not np.allclose(held[:-1], handed[:-1], rtol=1e-3, atol=1e-5):
        raise ValueError(
            "the rollout buffer holds other rewards than RedistributedRewardVecEnv handed out; make it the outermost "
            "wrapper that touches rewards: VecNormalize goes below it, or above it, with norm_reward=False"
        )
