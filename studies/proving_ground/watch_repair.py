"""Watch repair: how many episodes until an agent decides right.

The decision is made at step 0 alone. *Right* is the greedy action for the brand at hand, repairing those with a
positive expected profit; exploration is left out of the count, and counted the same way for every agent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from agents.tabular.credited import CreditedAgent
from agents.tabular.credits import CreditConfig, PredictorCredit
from agents.tabular.learners import Learner
from agents.tabular.lockstep import Rollout
from agents.tabular.observed import Observed
from envs.finite import Floats, Indices
from envs.watch_repair import BRANDS, DECLINE, MEAN_PROFIT, REPAIR, STEPS, WatchRepair, expected_sale, simulate
from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.redistribution.metrics import credit_fidelity, rank_correlation

WINDOW, SHARE = 750, 0.95
BEST = np.array([REPAIR if profit > 0 else DECLINE for profit in MEAN_PROFIT])
"""The right decision for each brand."""

JAMS, FLATS = 26, 17
"""Counts from 0 that tables tell apart; more happen once in a hundred million episodes."""
PARTS = (2, JAMS, FLATS, BRANDS)
SHAPE = (STEPS, 2 * JAMS * FLATS * BRANDS, 2)
"""Of the tables: a state is repaired or not, jams, flat tyres and brand."""

EPSILON, OPTIMISM = 0.1, 10.0
"""Share of random actions, and the value of everything at first, so that all is tried."""

CONFIG = CreditConfig(
    train_every=50, relearnt=500, training=replace(CreditConfig().training, updates=100, variation_weight=0.0)
)


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    episodes: int | None
    """Until the agent decided right; None if it never did."""
    fidelity: dict[str, float] = field(default_factory=dict)
    """Of its credit, if it has any."""


def observations(states: Indices) -> Floats:
    """What the environment shows of states `[..., T + 1]`, `[..., T + 1, 8]`."""
    repaired, jams, flats, brand = np.unravel_index(states, PARTS)
    steps = np.broadcast_to(np.arange(states.shape[-1]), states.shape)
    return np.stack([repaired, jams, flats, *(brand == np.arange(BRANDS)[(...,) + (None,) * states.ndim]), steps], -1)


def task() -> Observed:
    """Watch repair as an agent with credit sees it; it has no distractions to draw."""
    env = WatchRepair()
    return Observed(
        SHAPE, env.observation_space, env.action_space, lambda states, _: observations(states).astype(np.float32)
    )


class Shop:
    """Episodes of G agents side by side; each draws from its own generator, so it meets the same alone or in company.

    Args:
        seeds: one an agent.
    """

    def __init__(self, seeds: list[int]) -> None:
        self.rngs = [np.random.default_rng(seed) for seed in seeds]
        self.brands = np.zeros(len(seeds), np.int64)

    def receive(self) -> Indices:
        """The states of the next watches, `[G]`."""
        self.brands = np.array([rng.integers(BRANDS) for rng in self.rngs])
        return self.brands  # nothing has happened yet, so the other parts of the state are zero

    def play(self, values: Floats) -> Rollout:
        """One episode of each agent with the watch that was received, by its table `[G, T, S, A]`."""
        drawn = np.array([rng.random((2, STEPS)) for rng in self.rngs])
        exploring = np.where(drawn[:, 0] < EPSILON, (drawn[:, 1] * 2).astype(np.int64), -1)
        agents = np.arange(len(values))
        first = values[agents, 0, self.brands].argmax(axis=1)
        decisions = np.where(exploring[:, 0] < 0, first, exploring[:, 0])
        states, rewards = self._drive(decisions)
        best = values[agents[:, None], np.arange(STEPS), states[:, :-1]].argmax(axis=2)
        actions = np.where(exploring < 0, best, exploring)
        return Rollout(states, actions, actions, actions == best, rewards, np.full(len(values), STEPS))

    def _drive(self, decisions: Indices) -> tuple[Indices, Floats]:
        """States `[G, T + 1]` and rewards `[G, T]`."""
        watches = zip(self.brands, decisions, self.rngs, strict=True)
        played = [simulate(brand, decision == REPAIR, rng) for brand, decision, rng in watches]
        repaired, jams, flats = np.stack([shown for shown, _ in played])[..., :3].astype(np.int64).transpose(2, 0, 1)
        brands = np.broadcast_to(self.brands[:, None], repaired.shape)
        parts = (repaired, jams.clip(max=JAMS - 1), flats.clip(max=FLATS - 1), brands)
        return np.ravel_multi_index(parts, PARTS), np.stack([rewards for _, rewards in played])


def episodes_until_right(
    values: Callable[[], Floats], learn: Callable[[Rollout], None], cap: int, seeds: list[int]
) -> list[int | None]:
    """Play until 95 % of the last 750 decisions of each agent were right; None if `cap` episodes do not suffice."""
    shop, right = Shop(seeds), np.zeros((cap, len(seeds)), dtype=bool)
    found: list[int | None] = [None] * len(seeds)
    for number in range(1, cap + 1):
        brands, tables = shop.receive(), values()
        right[number - 1] = tables[np.arange(len(seeds)), 0, brands].argmax(axis=1) == BEST[brands]
        learn(shop.play(tables))
        if number >= WINDOW:
            solved = right[number - WINDOW : number].sum(axis=0) >= SHARE * WINDOW
            found = [number if known is None and now else known for known, now in zip(found, solved, strict=True)]
        if None not in found:
            break
    return found


def uncredited(
    learner: type[Learner], learning_rate: float, cap: int, seeds: list[int], **options: float
) -> list[Outcome]:
    """Agents on the environment's own reward, one a seed, side by side."""
    agents = learner(SHAPE, seeds, learning_rate, initial=OPTIMISM, **options)
    return [Outcome(at) for at in episodes_until_right(lambda: agents.values, agents.learn, cap, seeds)]


def credited(cap: int, seed: int) -> Outcome:
    """Direct Q estimation on LRP-redistributed reward."""
    credit = PredictorCredit(task(), LRPRedistributor, "accumulator", seed, CONFIG)
    agent = CreditedAgent(task(), credit, seed, config=CONFIG, initial=OPTIMISM)
    (episodes,) = episodes_until_right(lambda: agent.values, agent.learn, cap, [seed])
    return Outcome(episodes, fidelity(agent))


@torch.no_grad()
def fidelity(agent: CreditedAgent) -> dict[str, float]:
    """How near the credit of the latest episodes comes to the true one, in means over them.

    Credit concerns the sale alone, without what was expected of it before the first step.

    Returns:
        `on_decisive`: share of absolute credit on the decision or the step beside it; `true_on_decisive`: the same of
        the true credit, what each step changed in the expected sale; `rank_correlation` of the two;
        `explained_variance` of the predictor.
    """
    rollouts, lessons = zip(*agent.latest, strict=True)
    rollout = Rollout(*(np.concatenate(parts) for parts in zip(*rollouts, strict=True)))
    own = agent.credit.contributions(rollout, [lesson for group in lessons for lesson in group])
    expected = expected_sale(observations(rollout.states)[:, 1:])
    decision = np.arange(STEPS) == 0
    true = np.diff(expected, axis=1, prepend=0.0)
    for credit in (own, true):
        credit[:, 0] -= credit[:, 0].mean()
    means = {
        "on_decisive": np.mean([credit_fidelity(row, decision) for row in own]),
        "true_on_decisive": np.mean([credit_fidelity(row, decision) for row in true]),
        "rank_correlation": np.nanmean(list(map(rank_correlation, own, true))),
        "explained_variance": agent.credit.explained_variance,
    }
    return {name: round(float(value), 4) for name, value in means.items()}
