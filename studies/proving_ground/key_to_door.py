"""The true credit of a policy on key-to-door, and how near a redistribution comes to it.

What the door is expected to pay depends on few things: whether the agent has the key, or will get it in the frames
left, and whether it will reach the door. So for any policy it can be computed, and the true credit of a step is what
that step changed in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.distributions import Categorical

from envs.finite import Floats
from envs.key_to_door import (
    APPLE_ROOM,
    DOOR_CELL,
    DOOR_ROOM,
    KEY_CELLS,
    KEY_ROOM,
    SMALL_CELLS,
    SMALL_START,
    Cell,
    KeyToDoor,
    Situation,
    step_from,
)
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.episodes.lessons import Lesson, LessonBatch
from rudder_lrp.redistribution import Redistributor
from rudder_lrp.viewing.metrics import credit_fidelity, rank_correlation

Policy = Callable[[Any], Floats]
"""From observations `[N, 104]` to the probabilities of the four actions, `[N, 4]`."""


class PlayedEpisode(NamedTuple):
    """An episode of key-to-door, and what is known of it."""

    episode: Episode
    situations: list[Situation]
    """Before every step."""
    decisive: np.ndarray
    """Mask `[T]` of the decisive steps whose payment came late, if at all: taking the key, and opening the door."""


def policy_of(model: BaseAlgorithm) -> Policy:
    """The policy of an actor-critic algorithm, as it acts in training."""

    @torch.no_grad()
    def probabilities(observations: Any) -> Floats:
        distribution = model.policy.get_distribution(torch.as_tensor(observations)).distribution
        assert isinstance(distribution, Categorical)
        found: Floats = distribution.logits.double().softmax(dim=-1).numpy()
        return found

    return probabilities


def chance_to_reach(policy: Policy, sights: np.ndarray, target: Cell) -> Floats:
    """Probability to step on a cell of a small room before its frames are over.

    Args:
        policy: acts.
        sights: what it sees there, see `KeyToDoor.sights`.
        target: the cell.

    Returns:
        By frame and cell, `[frames + 1, 25]`.
    """
    leads = np.array([[SMALL_CELLS.index(cell) for cell in step_from(cell)] for cell in SMALL_CELLS])
    reached = np.array([cell == target for cell in SMALL_CELLS])
    actions = policy(sights.reshape(-1, sights.shape[-1])).reshape(*sights.shape[:2], -1)
    chance = np.zeros((len(sights) + 1, len(SMALL_CELLS)))
    chance[-1, reached] = 1.0
    for frame in reversed(range(len(sights))):
        chance[frame] = np.where(reached, 1.0, (actions[frame] * chance[frame + 1][leads]).sum(axis=1))
    return chance


class DoorPayment:
    """What the door is expected to pay after each step, exactly, for one policy.

    Args:
        env: the task.
        policy: acts.
    """

    def __init__(self, env: KeyToDoor, policy: Policy) -> None:
        self.reward = env.door_reward
        self.key = {cell: chance_to_reach(policy, env.sights(KEY_ROOM, cell), cell) for cell in KEY_CELLS}
        self.door = chance_to_reach(policy, env.sights(DOOR_ROOM, DOOR_CELL), DOOR_CELL)
        self._opens = float(self.door[0, SMALL_CELLS.index(SMALL_START)])

    def expected(self, situation: Situation) -> float:
        """The expectation in a situation."""
        if situation.room == APPLE_ROOM:
            return self.reward * situation.has_key * self._opens
        at = situation.frame, SMALL_CELLS.index(situation.at)
        if situation.room == DOOR_ROOM:
            return self.reward * situation.has_key * float(self.door[at])
        gets_key = 1.0 if situation.has_key else float(self.key[situation.key][at])
        return self.reward * gets_key * self._opens

    def credit(self, played: PlayedEpisode) -> Floats:
        """What each step changed in the expectation, `[T]`; the last one, from the expectation to the payment."""
        expected = [self.expected(situation) for situation in played.situations]
        return np.diff([*expected, float(played.episode.rewards[-1])])


def play(env: KeyToDoor, policy: Policy, seed: int) -> PlayedEpisode:
    """Play one episode from a seeded reset."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards, situations, decisive, over = [observation], [], [], [], [], False
    while not over:
        situations.append(env.situation)
        actions.append(int(rng.choice(4, p=policy(observation[None])[0])))
        observation, reward, over, _, info = env.step(actions[-1])
        observations.append(observation)
        rewards.append(reward)
        decisive.append(info["decisive"] and (over or not reward))
    episode = Episode(np.stack(observations), np.array(actions), np.array(rewards))
    return PlayedEpisode(episode, situations, np.array(decisive))


def key_to_door_fidelity(
    model: BaseAlgorithm, redistributor: Redistributor, episodes: int = 100, seed: int = 20_000
) -> dict[str, float]:
    """How near a redistribution comes to the true credit of the policy it was learnt with.

    Returns:
        Means over episodes: `on_decisive`, the share of absolute credit on decisive steps or their neighbours, and
        `true_on_decisive`, that of the true credit; `rank_correlation` with the true credit; `absolute_credit` and
        `true_absolute_credit`, the sums of absolute credit over an episode.
    """
    env, policy = KeyToDoor(), policy_of(model)
    payment = DoorPayment(env, policy)
    played = [play(env, policy, seed + number) for number in range(episodes)]
    own, true = credits_of(redistributor, played), [payment.credit(one) for one in played]
    shares = {"on_decisive": own, "true_on_decisive": true}
    means = {name: _mean(map(credit_fidelity, rows, [p.decisive for p in played])) for name, rows in shares.items()}
    return means | {
        "rank_correlation": _mean(map(rank_correlation, own, true)),
        "absolute_credit": _mean(np.abs(credit).sum() for credit in own),
        "true_absolute_credit": _mean(np.abs(credit).sum() for credit in true),
    }


@torch.no_grad()
def credits_of(redistributor: Redistributor, played: Sequence[PlayedEpisode]) -> list[Floats]:
    """Contributions `[T]` of each episode, without what was expected before its first step."""
    lessons = [Lesson.from_episode(one.episode, redistributor.predictor.features) for one in played]
    batch = LessonBatch.collate(lessons)
    found = redistributor.contributions(batch.features, batch.lengths).double().numpy()
    if redistributor.causal:  # others explain the last prediction, which knows no first step
        found[:, 0] -= found[:, 0].mean()
    return [row[: len(lesson)] for row, lesson in zip(found, lessons, strict=True)]


def _mean(numbers: Any) -> float:
    return round(float(np.nanmean(list(numbers))), 4)
