"""Credit from the alignment of good episodes, after Align-RUDDER, as a rival of what a predictor explains."""

from __future__ import annotations

import numpy as np

from agents.tabular.alignment import Events, build_profile, clusters, successor_representation
from agents.tabular.credits import CreditConfig, LookingAhead
from agents.tabular.lockstep import Rollout
from envs.finite import FiniteModel, Floats
from rudder_lrp.episodes.lessons import Lesson


class AlignedCredit(LookingAhead):
    """A step earns by how much more of the profile of good episodes is matched after it (Patil et al. 2020).

    Demonstrations are not given: the episodes with the highest late payment so far stand for them. The score of an
    episode becomes its expected payment by a straight line through all episodes, and how well that fits is the trust.

    Args:
        model: for the number of its states and steps; its rules are not used.
        config: when a round is due.
        good: episodes that are aligned.
        kinds: kinds of events, at most.
    """

    def __init__(self, model: FiniteModel, config: CreditConfig, good: int = 10, kinds: int = 60) -> None:
        self.model, self.config, self.good, self.kinds = model, config, good, kinds
        self.explained_variance = float("-inf")
        self._rollouts: list[Rollout] = []
        self._next_round = config.train_every
        self._slope, self._base = 0.0, 0.0

    @property
    def q(self) -> float:
        """See `Credit.q`: the explained variance."""
        return max(self.explained_variance, 0.0)

    def learn(self, rollout: Rollout, lessons: list[Lesson], episodes: int) -> bool:
        """See `Credit.learn`."""
        self._rollouts.append(rollout)
        if episodes < self._next_round or episodes < self.config.min_lessons:
            return False
        self._next_round = episodes + max(self.config.train_every, episodes // 4)
        self._align(Rollout(*(np.concatenate(parts) for parts in zip(*self._rollouts, strict=True))))
        return True

    def _align(self, rollout: Rollout) -> None:
        late = rollout.rewards[np.arange(len(rollout.lengths)), rollout.lengths - 1]
        if late.min() == late.max():
            return
        discount = 1.0 - 2.0 / self.model.steps  # as far as half an episode
        n_states = self.model.shape[1]
        self.kind_of = clusters(
            successor_representation(rollout.states, rollout.lengths, n_states, discount), self.kinds
        )
        events = [found.kinds for found in self._events(rollout)]
        having = np.bincount(np.concatenate([np.unique(kinds) for kinds in events]), minlength=self.kinds)
        best = np.argsort(-late, kind="stable")[: self.good]
        self.profile = build_profile([events[at] for at in best], (having + 1.0) / (len(events) + 2.0))
        scores = np.array([self.profile.matched(kinds)[-1] if len(kinds) else 0.0 for kinds in events])
        self._fit(scores, late)

    def _fit(self, scores: Floats, late: Floats) -> None:
        spread = scores.var()
        self._slope = float(np.cov(scores, late, bias=True)[0, 1] / spread) if spread else 0.0
        self._base = float(late.mean() - self._slope * scores.mean())
        errors = late - self._base - self._slope * scores
        self.explained_variance = 1.0 - float(np.square(errors).mean() / late.var())

    def _events(self, rollout: Rollout) -> list[Events]:
        visited = self.kind_of[rollout.states]
        return [Events.of(row[: n + 1]) for row, n in zip(visited, rollout.lengths, strict=True)]

    def contributions(self, rollout: Rollout, lessons: list[Lesson]) -> Floats:
        """See `Credit.contributions`."""
        credit = np.zeros_like(rollout.rewards)
        if self._slope:
            for row, events in zip(credit, self._events(rollout), strict=True):
                row[events.steps] = self._slope * np.diff(self.profile.matched(events.kinds), prepend=0.0)
        return credit

    def expected(self, rollout: Rollout) -> float:
        """See `Credit.expected`."""
        return self._base
