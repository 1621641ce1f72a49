"""On an EnvRunner: what each step of the sampled fragments earns, and the lessons that they complete.

Credit is worked out where episodes are stepped, since all fragments of one pass there, in order, whoever learns from
them. It travels beside the environment's own rewards, which RLlib's metrics go on to show; the learner's connector puts
it in their place, see `rudder_lrp.rllib.connector`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rudder_lrp.episodes.features import Features
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.redistribution.base import Rewards
from rudder_lrp.redistribution.uncertainty import shrunk, spread
from rudder_lrp.rllib.client import PredictorClient
from rudder_lrp.rllib.connector import put_credit
from rudder_lrp.rllib.fragments import RunningEpisode, RunningEpisodes
from rudder_lrp.rllib.settings import CreditSettings, Spaces


@plain_torch()
@torch.no_grad()
def changes(predictor: ReturnPredictor, features: Features) -> Rewards:
    """What each step of an episode, not necessarily over, changed in the predicted return, `[T, F]` to `[T]`.

    As `rudder_lrp.redistribution.stream.ContributionStream` says it step by step: what the predictor's members do not
    agree on is withheld, and the first step holds, besides, what was expected before it.
    """
    of_members = predictor.return_scale * predictor.member_changes(torch.from_numpy(features)[None])[0].cpu().double()
    contributions: Rewards = shrunk(of_members.mean(dim=1), spread(of_members)).numpy()
    contributions[0] += predictor.expected_return
    return contributions


class FragmentCredit:
    """What the steps of fragments earn: while an episode runs, and when it ends, whatever is left of its return.

    Whole episodes are redistributed by the run's redistributor. Fragments get causal credit, as
    `rudder_lrp.redistribution.causal.CausalCredit` hands it out. In both, the rewards of an episode sum to its true
    return, no matter how often the predictor changes on the way.

    Args:
        client: whose copy of the predictor is asked.
        settings: of the run.
        running: puts the fragments together.
    """

    def __init__(self, client: PredictorClient, settings: CreditSettings, running: RunningEpisodes) -> None:
        self.client = client
        self.running = running
        self._redistributor = settings.redistributor(client.predictor)

    def earn(self, fragment: SingleAgentEpisode) -> tuple[Rewards, Lesson | None]:
        """What the T steps of a fragment earn, `[T]`, and the lesson, if it completes one.

        Raises:
            ValueError: if a reward or a feature is not finite.
        """
        episode = self.running.extend(fragment)
        own = np.asarray(fragment.get_rewards(), dtype=np.float64)
        if not episode.open:
            return self._settle(episode, own, own, over=True), None
        lesson = episode.lesson()
        whole = fragment.is_done and len(lesson) == len(own)
        mixed = self._mixed(lesson, whole=whole)[-len(own) :]
        if len(lesson) > self.running.max_episode_steps:
            return self._close(episode, mixed, own), None
        return self._settle(episode, mixed, own, over=fragment.is_done), lesson if fragment.is_done else None

    def _mixed(self, lesson: Lesson, *, whole: bool) -> Rewards:
        """What the steps of an episode so far earn by the present predictor and trust, `[T]`."""
        trust = self.client.trust
        if not trust:
            return lesson.rewards
        if whole:
            return trust * self._redistributor.redistribute([lesson])[0] + (1.0 - trust) * lesson.rewards
        return lesson.rewards + trust * changes(self.client.predictor, lesson.features)

    @staticmethod
    def _settle(episode: RunningEpisode, mixed: Rewards, own: Rewards, *, over: bool) -> Rewards:
        # The agent sees float32: what rounding takes from one step, the last one gives back.
        handed = mixed.astype(np.float32).astype(np.float64)
        episode.owed += float(own.sum() - handed.sum())
        if over:
            handed[-1] = np.float32(handed[-1] + episode.owed)
            episode.owed = 0.0
        return handed

    def _close(self, episode: RunningEpisode, mixed: Rewards, own: Rewards) -> Rewards:
        """Settle an episode at the longest that one may be, and hand its own rewards on from there."""
        allowed = len(own) - (episode.steps - self.running.max_episode_steps)
        episode.open, episode.features, episode.rewards = False, [], []
        return np.concatenate([self._settle(episode, mixed[:allowed], own[:allowed], over=True), own[allowed:]])


class CreditOfSamples(RLlibCallback):
    """Works out the credit of everything an EnvRunner samples, and sends finished episodes to the predictor."""

    def __init__(self) -> None:
        self._credit: FragmentCredit | None = None

    def on_sample_end(
        self, *, env_runner: Any, metrics_logger: Any, samples: Sequence[SingleAgentEpisode], **_: Any
    ) -> None:
        """Called by RLlib with the fragments of one round of sampling."""
        if env_runner.config.in_evaluation:
            return
        if self._credit is None:
            self._credit = credit_of(env_runner)
        begun = time.thread_time()
        sent = lay_beside(self._credit, samples)
        client = self._credit.client
        flow = {"bytes_of_lessons": sent, "bytes_of_weights": client.bytes_received}
        for name, amount in (flow | {"processor_seconds": time.thread_time() - begun}).items():
            metrics_logger.log_value(("credit", name), amount, reduce="lifetime_sum")
        client.bytes_received = 0


def lay_beside(credit: FragmentCredit, samples: Sequence[SingleAgentEpisode]) -> int:
    """Lay credit beside the rewards of all fragments of a round, and send what they complete; bytes sent."""
    credit.client.receive()
    lessons = []
    for fragment in samples:
        handed, lesson = credit.earn(fragment)
        put_credit(fragment, handed)
        lessons += [lesson] if lesson is not None else []
    credit.running.keep({fragment.id_ for fragment in samples})
    return credit.client.send(lessons, sum(map(len, samples)))


def spaces_of(env_runner: Any) -> Spaces:
    """Spaces of what an EnvRunner's episodes hold."""
    observations, actions = env_runner.get_spaces()[DEFAULT_MODULE_ID]
    return observations, actions


def running_episodes(config: Any, client: PredictorClient) -> RunningEpisodes:
    """What puts the fragments together that are sampled by this config."""
    longest = config.credit.credit.max_episode_steps
    how = {"normalize": config.normalize_actions, "clip": config.clip_actions}
    return RunningEpisodes(client.predictor.features, longest, **how)


def credit_of(env_runner: Any) -> FragmentCredit:
    """The credit of one EnvRunner's fragments."""
    settings: CreditSettings = env_runner.config.credit
    client = PredictorClient(settings, spaces_of(env_runner), env_runner.config.num_env_runners)
    return FragmentCredit(client, settings, running_episodes(env_runner.config, client))
