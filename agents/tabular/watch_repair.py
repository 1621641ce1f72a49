"""Watch repair: how many episodes until an agent decides right.

The decision is made at step 0 alone. *Right* is the greedy action for the brand at hand, repairing those with a
positive expected profit; exploration is left out of the count, and counted the same way for every agent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from agents.tabular.decision import DirectQ, State, TabularAgent
from envs.watch_repair import BRANDS, DECLINE, MEAN_PROFIT, REPAIR, STEPS, WatchRepair, expected_sale, simulate
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.lessons import Lesson, LessonBatch, LessonBuffer
from rudder_lrp.prediction.online import OnlineConfig, OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training import Predicts, TrainingConfig
from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.viewing.metrics import credit_fidelity, rank_correlation

WINDOW, SHARE = 750, 0.95
BEST = [REPAIR if profit > 0 else DECLINE for profit in MEAN_PROFIT]
"""The right decision for each brand."""

ALONE = {"members": 1, "clock": 0}
"""One predictor for itself; the observations tell the time."""

TRAINING = TrainingConfig(
    predicts=Predicts.OUTLOOK, updates=100, anew=False, along_weight=0.5, weight_decay=1e-6, variation_weight=0.0
)

Learn = Callable[[list[State], Episode], None]
"""Takes the visited states and the finished episode."""


def episodes_until_right(agent: TabularAgent, learn: Learn, cap: int, seed: int) -> int | None:
    """Play until 95 % of the last 750 decisions were right; None if `cap` episodes do not suffice."""
    rng = np.random.default_rng(seed)
    right: deque[bool] = deque(maxlen=WINDOW)
    for number in range(1, cap + 1):
        brand = int(rng.integers(BRANDS))
        first = (0, 0, 0, brand, 0)
        right.append(agent.greedy(first) == BEST[brand])
        observations, rewards, states, actions = _play(agent, first, rng)
        learn(states, Episode(observations, np.array(actions), rewards))
        if len(right) == WINDOW and sum(right) >= SHARE * WINDOW:
            return number
    return None


def _play(
    agent: TabularAgent, first: State, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[State], list[int]]:
    decision = agent.act(first)
    brand = first[3]  # type: ignore[index]
    observations, rewards = simulate(brand, decision == REPAIR, rng)
    repaired, jams, flats = observations[:, :3].astype(int).T.tolist()
    states: list[State] = [(repaired[t], jams[t], flats[t], brand, t) for t in range(STEPS)]
    return observations, rewards, states, [decision, *(agent.act(state) for state in states[1:])]


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    episodes: int | None
    """Until the agent decided right; None if it never did."""
    fidelity: dict[str, float] = field(default_factory=dict)
    """Of its credit, if it has any."""


def uncredited(agent: TabularAgent, cap: int, seed: int) -> Outcome:
    """An agent on the environment's own reward."""

    def learn(states: list[State], episode: Episode) -> None:
        agent.learn(states, episode.actions.tolist(), episode.rewards.tolist())

    return Outcome(episodes_until_right(agent, learn, cap, seed))


class Visited(NamedTuple):
    """An episode as a tabular agent remembers it."""

    states: list[State]
    episode: Episode
    lesson: Lesson


class CreditedLearning:
    """Direct Q estimation on LRP-redistributed reward, its predictor trained on the way.

    Until the predictor explains held-out lessons, targets are the returns that followed (Monte Carlo); then their
    mixture with the redistributed reward by quality. Whenever the predictor was trained, the latest episodes are
    redistributed and learnt from anew.

    Args:
        agent: updated towards the mixture.
        seed: of predictor and lessons.
        training: one round of the predictor's training.
        train_every: episodes between two rounds.
        relearnt: how many of the latest episodes are learnt from after a round.
    """

    def __init__(
        self,
        agent: DirectQ,
        seed: int,
        training: TrainingConfig = TRAINING,
        train_every: int = 50,
        relearnt: int = 500,
    ) -> None:
        spaces = WatchRepair().observation_space, WatchRepair().action_space
        options = {"structure": "accumulator", "hidden_size": 16, "encoding": "changes", "seed": seed} | ALONE
        predictor = ReturnPredictor.for_spaces(*spaces, **options)
        lessons = LessonBuffer(capacity=2048, seed=seed)
        self.agent = agent
        self.online = OnlinePredictor(predictor, lessons, OnlineConfig(training, train_every, 1.0, min_lessons=100))
        self.redistributor = LRPRedistributor(predictor)
        self.episodes = 0
        self._latest: deque[Visited] = deque(maxlen=relearnt)

    def learn(self, states: list[State], episode: Episode) -> None:
        """Take in an episode; train if it is time."""
        lesson = Lesson.from_episode(episode, self.online.predictor.features)
        self.online.observe(lesson)
        self._latest.append(Visited(states, episode, lesson))
        self.episodes += 1
        trained = self.online.train_if_due(self.episodes)
        visited = list(self._latest) if trained else [self._latest[-1]]
        redistributed = self.redistributor.redistribute([earlier.lesson for earlier in visited])
        for (states, played, lesson), credit in zip(visited, redistributed, strict=True):
            following = np.cumsum(lesson.rewards[::-1])[::-1]
            self.agent.learn(states, played.actions.tolist(), self.online.mix(credit, following).tolist())

    @torch.no_grad()
    def fidelity(self) -> dict[str, float]:
        """How near the credit of the latest episodes comes to the true one, in means over them.

        Credit concerns the sale alone, without what was expected of it before the first step.

        Returns:
            `on_decisive`: share of absolute credit on the decision or the step beside it; `true_on_decisive`: the same
            of the true credit, what each step changed in the expected sale; `rank_correlation` of the two;
            `explained_variance` of the predictor.
        """
        batch = LessonBatch.collate([earlier.lesson for earlier in self._latest])
        own = self.redistributor.contributions(batch.features, batch.lengths).double().numpy()
        expected = expected_sale(np.stack([earlier.episode.observations[1:] for earlier in self._latest]))
        decision = np.arange(STEPS) == 0
        true = np.diff(expected, axis=1, prepend=0.0)
        for credit in (own, true):
            credit[:, 0] -= credit[:, 0].mean()
        means = {
            "on_decisive": np.mean([credit_fidelity(row, decision) for row in own]),
            "true_on_decisive": np.mean([credit_fidelity(row, decision) for row in true]),
            "rank_correlation": np.nanmean(list(map(rank_correlation, own, true))),
            "explained_variance": self.online.quality.explained_variance,
        }
        return {name: round(float(value), 4) for name, value in means.items()}


def credited(cap: int, seed: int) -> Outcome:
    """Direct Q estimation on LRP-redistributed reward."""
    agent = DirectQ(2, seed=seed)
    learning = CreditedLearning(agent, seed)
    episodes = episodes_until_right(agent, learning.learn, cap, seed)
    return Outcome(episodes, learning.fidelity())
