"""How near a redistribution comes to the true credit of the policy it is learnt with.

Where an environment's rules say what an observer expects of the late payment (`envs.true_credit`), the credit of each
step can be compared with what that step really changed in the expectation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import unwrap_vec_wrapper
from torch.distributions import Categorical

from envs.true_credit import Floats, KnowsCredit, PlayedEpisode, Policy, play_side_by_side
from rudder_lrp.episodes.episode import Episode
from rudder_lrp.redistribution import Redistributor
from rudder_lrp.redistribution.metrics import credit_fidelity
from rudder_lrp.sb3 import RedistributedRewardVecEnv

_SIDE_BY_SIDE = 64  # environments, so that the policy is asked once for all of them
_NO_CREDIT = 1e-9  # of the payment's spread: below it a step's true credit counts as zero


def acting(policy: BasePolicy) -> Policy:
    """The policy of an actor-critic algorithm, as it acts in training."""

    @torch.no_grad()
    def probabilities(observations: Any) -> Floats:
        tensors, _ = policy.obs_to_tensor(observations)
        distribution = policy.get_distribution(tensors).distribution
        assert isinstance(distribution, Categorical)
        found: Floats = distribution.logits.double().softmax(dim=-1).numpy()
        return found

    return probabilities


@dataclass(frozen=True)
class CreditTruth:
    """Credit against the true one; means over episodes, the errors as sums over the steps of an episode."""

    error: float
    """Squared error, as a multiple of that of no credit at all, zero everywhere. To leave all where it is paid is
    worse: it credits the last step with what others have earned."""
    squared_error: float
    """The same in the reward's own unit, squared."""
    correlation: float
    """Of all steps of all episodes with the true credit."""
    credit_without_cause: float
    """Absolute credit of an episode on steps whose true credit is zero."""
    absolute_credit: float
    true_absolute_credit: float
    on_decisive: float
    """Share of absolute credit on decisive steps or their neighbours."""
    true_on_decisive: float
    largest_on_decisive: float
    """Share of the episodes with a decisive step before the last in which such a step, or the one before it, has the
    largest credit of all but the last step."""
    true_largest_on_decisive: float
    within_one: float = float("nan")
    """Share of the steps before the last whose true credit lies within one error bar of what is handed out."""
    within_two: float = float("nan")

    def rounded(self) -> dict[str, float]:
        """By name, for a file."""
        return {field.name: round(float(getattr(self, field.name)), 4) for field in fields(self)}


def compare_credits(own: Sequence[Floats], true: Sequence[Floats], played: Sequence[PlayedEpisode]) -> CreditTruth:
    """Compare the credit of episodes, `[T]` each and without what was expected of them before, with the true one."""
    squared = float(np.mean([np.square(a - b).sum() for a, b in zip(own, true, strict=True)]))
    nothing = float(np.mean([np.square(b).sum() for b in true]))
    scale = _NO_CREDIT * max(float(np.std([one.rewards[-1] for one in played])), 1e-300)
    decisive = [one.decisive for one in played]
    return CreditTruth(
        error=squared / nothing if nothing else float("nan"),
        squared_error=squared,
        correlation=float(np.corrcoef(np.concatenate(own), np.concatenate(true))[0, 1]),
        credit_without_cause=float(
            np.mean([np.abs(a[np.abs(b) < scale]).sum() for a, b in zip(own, true, strict=True)])
        ),
        absolute_credit=float(np.mean([np.abs(credit).sum() for credit in own])),
        true_absolute_credit=float(np.mean([np.abs(credit).sum() for credit in true])),
        on_decisive=float(np.mean(list(map(credit_fidelity, own, decisive)))),
        true_on_decisive=float(np.mean(list(map(credit_fidelity, true, decisive)))),
        largest_on_decisive=_largest_on_decisive(own, decisive),
        true_largest_on_decisive=_largest_on_decisive(true, decisive),
    )


def _largest_on_decisive(credits: Sequence[Floats], decisive: Sequence[np.ndarray]) -> float:
    hits = [
        mask[at] or (at + 1 < len(mask) - 1 and mask[at + 1])
        for credit, mask in zip(credits, decisive, strict=True)
        if mask[:-1].any()
        for at in [int(np.argmax(credit[:-1]))]
    ]
    return float(np.mean(hits)) if hits else float("nan")


def played_episodes(env: KnowsCredit, policy: Policy, episodes: int, seed: int) -> Iterator[PlayedEpisode]:
    """Episodes of a policy, from seeds of their own, played a few dozen at a time."""
    environments = [copy.deepcopy(env) for _ in range(min(episodes, _SIDE_BY_SIDE))]
    for at in range(0, episodes, _SIDE_BY_SIDE):
        seeds = range(seed + at, seed + min(at + _SIDE_BY_SIDE, episodes))
        yield from play_side_by_side(environments[: len(seeds)], policy, seeds)


def true_credits(env: KnowsCredit, policy: Policy, played: Sequence[PlayedEpisode]) -> list[Floats]:
    """The true credit of each step, `[T]` each."""
    foreseen = env.foresee(policy)
    return [foreseen.credit(one.situations, float(one.rewards[-1])) for one in played]


def as_agents_see(played: PlayedEpisode) -> Episode:
    """The episode, without what is known of it."""
    return Episode(played.observations, played.actions, played.rewards)


class Handed(NamedTuple):
    """What the agent is handed for what is paid late, `[T]` each, and how sure that is."""

    credits: list[Floats]
    """Residual included, without what was expected of the episodes before their first step: one constant, the mean,
    which no step has earned."""
    deviations: list[Floats]
    """Error bars."""


def handed_credits(redistributor: Redistributor, played: Sequence[PlayedEpisode], trust: float) -> Handed:
    """What is handed out for episodes by a redistribution that is trusted so far."""
    lessons = redistributor.lessons(list(map(as_agents_see, played)))
    late = [np.append(np.zeros(len(one) - 1), one.rewards[-1]) for one in lessons]
    redistributed, deviations = redistributor.redistribute(lessons, return_uncertainty=True)
    moved = [new - lesson.paid for new, lesson in zip(redistributed, lessons, strict=True)]
    for credits, step in ((moved, 0), (late, -1)):
        expected = np.mean([credit[step] for credit in credits])
        for credit in credits:
            credit[step] -= expected
    mixed = [trust * new + (1.0 - trust) * old for new, old in zip(moved, late, strict=True)]
    return Handed(mixed, deviations)


def within(handed: Handed, true: Sequence[Floats], deviations: float) -> float:
    """Share of the steps before the last whose true credit lies within so many error bars."""
    hits = [
        np.abs(own - known)[:-1] <= deviations * bar[:-1] + _NO_CREDIT
        for own, known, bar in zip(handed.credits, true, handed.deviations, strict=True)
    ]
    return float(np.mean(np.concatenate(hits)))


def credited_environment(model: BaseAlgorithm) -> RedistributedRewardVecEnv | None:
    """The wrapper that redistributes a model's rewards; below others, where Stable-Baselines3 transposes images."""
    env = model.get_env()
    return None if env is None else unwrap_vec_wrapper(env, RedistributedRewardVecEnv)


def task_of(env: RedistributedRewardVecEnv) -> Any:
    """What a model plays, anew and without wrappers."""
    return gym.make(env.get_attr("spec")[0].id).unwrapped


def credit_truth(
    model: BaseAlgorithm, redistributor: Redistributor, episodes: int = 100, seed: int = 20_000
) -> CreditTruth | None:
    """Compare what a model is handed with the true credit of its policy.

    None, where nothing is redistributed or the environment does not know its credit.
    """
    env = credited_environment(model)
    if env is None:
        return None
    task = task_of(env)
    if not hasattr(task, "foresee"):
        return None
    policy = acting(model.policy)
    played = list(played_episodes(task, policy, episodes, seed))
    handed, true = handed_credits(redistributor, played, env.online.q), true_credits(task, policy, played)
    bars = {"within_one": within(handed, true, 1.0), "within_two": within(handed, true, 2.0)}
    return replace(compare_credits(handed.credits, true, played), **bars)


class CreditTruthCurve(BaseCallback):
    """Measures the credit against the true one while an agent trains, and logs it under `truth/`.

    Args:
        redistributor: of the predictor that the agent learns with.
        every: environment steps between two measurements.
        episodes: played for each.
    """

    def __init__(self, redistributor: Redistributor, every: int, episodes: int = 60) -> None:
        super().__init__()
        self.redistributor, self.every, self.episodes = redistributor, every, episodes
        self.curve: list[tuple[int, dict[str, float]]] = []
        self._next = every

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next += self.every
            truth = credit_truth(self.model, self.redistributor, self.episodes)
            if truth is not None:
                self._record(truth.rounded())
        return True

    def _record(self, numbers: dict[str, float]) -> None:
        self.curve.append((self.num_timesteps, numbers))
        for name, value in numbers.items():
            self.logger.record(f"truth/{name}", value)
