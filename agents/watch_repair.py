"""Watch repair: how many episodes until an agent decides right.

The decision is made at step 0 alone. *Right* is the greedy action for the brand at hand, repairing those with a
positive expected profit; exploration is left out of the count, and counted the same way for every agent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from agents.tabular import DirectQ, State, TabularAgent
from envs.watch_repair import BRANDS, DECLINE, MEAN_PROFIT, REPAIR, STEPS, WatchRepair, simulate
from rudder_lrp.episodes import Episode
from rudder_lrp.lessons import Lesson, LessonBuffer
from rudder_lrp.online import OnlinePredictor
from rudder_lrp.predictor import ReturnPredictor
from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.training import Predicts, TrainingConfig

WINDOW, SHARE = 750, 0.95
BEST = [REPAIR if profit > 0 else DECLINE for profit in MEAN_PROFIT]
"""The right decision for each brand."""

TRAINING = TrainingConfig(
    predicts=Predicts.OUTLOOK, updates=100, following_updates=100, batch_size=32, learning_rate=1e-2
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


def uncredited(agent: TabularAgent, cap: int, seed: int) -> int | None:
    """Episodes that an agent needs on the environment's own reward."""

    def learn(states: list[State], episode: Episode) -> None:
        agent.learn(states, episode.actions.tolist(), episode.rewards.tolist())

    return episodes_until_right(agent, learn, cap, seed)


class Visited(NamedTuple):
    """An episode as a tabular agent remembers it."""

    states: list[State]
    actions: list[int]
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
        options = {"structure": "accumulator", "hidden_size": 16, "encoding": "changes", "seed": seed}
        predictor = ReturnPredictor.for_spaces(*spaces, **options)
        lessons = LessonBuffer(capacity=2048, seed=seed)
        self.agent = agent
        self.online = OnlinePredictor(predictor, lessons, training, train_every=train_every, min_lessons=100)
        self.redistributor = LRPRedistributor(predictor)
        self.episodes = 0
        self._latest: deque[Visited] = deque(maxlen=relearnt)

    def learn(self, states: list[State], episode: Episode) -> None:
        """Take in an episode; train if it is time."""
        lesson = Lesson.from_episode(episode, self.online.predictor.features)
        self.online.observe(lesson)
        self._latest.append(Visited(states, episode.actions.tolist(), lesson))
        self.episodes += 1
        trained = self.online.train_if_due(self.episodes)
        visited = list(self._latest) if trained else [self._latest[-1]]
        redistributed = self.redistributor.redistribute([episode.lesson for episode in visited])
        for (states, actions, lesson), credit in zip(visited, redistributed, strict=True):
            following = np.cumsum(lesson.rewards[::-1])[::-1]
            self.agent.learn(states, actions, self.online.mix(credit, following).tolist())


def credited(cap: int, seed: int) -> int | None:
    """Episodes that direct Q estimation needs on LRP-redistributed reward."""
    agent = DirectQ(2, seed=seed)
    return episodes_until_right(agent, CreditedLearning(agent, seed).learn, cap, seed)
