"""A tabular agent that learns from redistributed reward, as far as it is to be trusted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents.tabular.credits import Credit, CreditConfig
from agents.tabular.learners import DirectQ, Learner, MonteCarlo
from agents.tabular.lockstep import Rollout
from agents.tabular.observed import Observed
from envs.finite import Floats
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.features import TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson


class CreditedAgent:
    """Direct Q estimation on redistributed reward, as far as the credit is trusted; Monte Carlo for the rest.

    Two tables learn side by side, one from the environment's own reward and one from the redistributed reward, which is
    of another scale. The agent acts by their mixture, weighted by the trust q. Both updates are linear in the reward,
    so for a constant q this is the table of the mixed reward; and when q falls, the other table is there, up to date.
    After each round of training the latest episodes are redistributed and learnt from anew.

    Args:
        task: what is known of it.
        credit: redistributes.
        seed: of the tables.
        learning_rate: of the table of redistributed reward.
        plain_learning_rate: of the table of the environment's own reward, as without credit.
        config: see `CreditConfig`.
        initial: value of everything before it was tried.
    """

    def __init__(
        self,
        task: Observed,
        credit: Credit,
        seed: int,
        learning_rate: float = 0.1,
        plain_learning_rate: float = 0.1,
        config: CreditConfig | None = None,
        initial: float = 0.0,
    ) -> None:
        self.task, self.credit, self.seed, self.config = task, credit, seed, config or CreditConfig()
        self.episodes = 0
        self.latest: list[tuple[Rollout, list[Lesson]]] = []
        """The latest episodes, and what a predictor sees of them."""
        self._features = TransitionFeatures(task.observation_space, task.action_space, self.config.encoding)
        self._rng = np.random.default_rng([seed, 2])
        self._plain = MonteCarlo(task.shape, [seed], plain_learning_rate, initial=initial)
        self._credited = DirectQ(task.shape, [seed], learning_rate, initial=initial)

    @property
    def values(self) -> Floats:
        """What the agent acts by, `[1, T, S, A]`."""
        q = self.credit.q
        return q * self._credited.values + (1.0 - q) * self._plain.values

    def learn(self, rollout: Rollout) -> None:
        """Learn from N finished episodes; train the credit if it is time."""
        lessons = self.lessons(rollout)
        self.latest.append((rollout, lessons))
        del self.latest[: -self.config.relearnt // len(lessons)]
        self.episodes += len(lessons)
        changed = self.credit.learn(rollout, lessons, self.episodes)
        _one_by_one(self._plain, rollout)
        if self.credit.q:
            for earlier, known in self.latest if changed else self.latest[-1:]:
                _one_by_one(self._credited, earlier._replace(rewards=self.credit.targets(earlier, known)))

    def lessons(self, rollout: Rollout) -> list[Lesson]:
        """The episodes as a predictor sees them; their payment is the one at the last step, the others came in time."""
        seen = self.task.show(rollout.states, self._rng)
        lessons = []
        for at, n in enumerate(rollout.lengths):
            rewards = rollout.rewards[at, :n]
            lesson = Lesson.from_episode(Episode(seen[at, : n + 1], rollout.actions[at, :n], rewards), self._features)
            lessons.append(replace(lesson, rewards=_last_only(rewards)))
        return lessons


def _one_by_one(learner: Learner, rollout: Rollout) -> None:
    for at in range(len(rollout.lengths)):
        learner.learn(Rollout(*(part[at : at + 1] for part in rollout)))


def _last_only(rewards: Floats) -> Floats:
    late = np.zeros_like(rewards)
    late[-1] = rewards[-1]
    return late
