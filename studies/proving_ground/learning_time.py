"""How many episodes until a tabular agent has solved a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.tabular.credited import CreditedAgent
from agents.tabular.learners import Learner
from agents.tabular.lockstep import Draws, Exploration, Rollout, greedy_returns, play
from envs.finite import FiniteEnv, FiniteModel, Floats, values

SHARE = 0.9
EVERY = 10
"""Episodes between two evaluations; so many does an agent with credit play at once."""


@dataclass(frozen=True)
class History:
    """What an agent's greedy policy was worth, every 10 episodes."""

    returns: Floats
    """Expected return, `[E]`."""
    trusted_at: int | None = None
    """Episodes until the predictor explained held-out lessons; None without one, or without success."""

    def shares(self, model: FiniteModel) -> Floats:
        """How far each return came on the way from random actions, 0, to the optimum, 1."""
        chance = float(model.starts @ values(model, epsilon=1.0).state[0])
        return (self.returns - chance) / (model.optimal_return - chance)

    def solved_at(self, model: FiniteModel) -> int | None:
        """Episodes until the greedy policy reached 90 % of the way from random actions to the optimum, to stay there.

        To stay there means that the mean over all the rest of the run is as good; the rest is at least half of the run,
        else the answer is None. Chance alone finds the better of two actions, and keeps it for a while: hence the whole
        rest, and the way from random actions in place of the plain return.
        """
        shares = self.shares(model)
        rest = shares[::-1].cumsum()[::-1] / np.arange(len(shares), 0, -1)
        good = np.flatnonzero((shares >= SHARE) & (rest >= SHARE))
        if not len(good) or good[0] + 1 > len(shares) // 2:
            return None
        return int(good[0] + 1) * EVERY


def _play(
    model: FiniteModel,
    tables: Floats,
    rngs: list[np.random.Generator],
    n: int,
    exploration: Exploration,
    episode: int,
) -> Rollout:
    draws = Draws(rngs, n, model.steps)
    epsilon = 1.0 if episode <= exploration.warm_up else exploration.epsilon
    return play(model, tables, draws, draws.exploring(exploration, epsilon, model.shape[2]))


def learn_in_lockstep(
    model: FiniteModel, learner: Learner, seeds: list[int], exploration: Exploration, episodes: int
) -> list[History]:
    """Let the agents of a learner, one a seed, learn from the environment's own reward."""
    rngs, worth = [np.random.default_rng(seed) for seed in seeds], []
    for episode in range(1, episodes + 1):
        learner.learn(_play(model, learner.values, rngs, 1, exploration, episode))
        if episode % EVERY == 0:
            worth.append(greedy_returns(model, learner.values))
    return [History(returns) for returns in np.array(worth).T]


def learn_with_credit(env: FiniteEnv, agent: CreditedAgent, exploration: Exploration, episodes: int) -> History:
    """Let one agent learn from redistributed reward."""
    rng, worth, trusted_at = np.random.default_rng(agent.seed), [], None
    for episode in range(EVERY, episodes + 1, EVERY):
        agent.learn(_play(env.model, agent.values, [rng], EVERY, exploration, episode))
        worth.append(greedy_returns(env.model, agent.values)[0])
        if agent.credit.q and trusted_at is None:
            trusted_at = episode
    return History(np.array(worth), trusted_at)
