"""What became of training episodes, and episodes played by a trained agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize

from rudder_lrp.episodes.episode import Episode, map_arrays

Policy = Callable[[Any], Any]
"""From an observation to an action, in one episode."""

RECENT = 100
"""Training episodes that a return is the mean of."""


class TrueReturns(BaseCallback):
    """Remembers the true return of every training episode, and the step it ended at."""

    def __init__(self) -> None:
        super().__init__()
        self.returns: list[float] = []
        self.steps: list[int] = []
        self.outcomes: list[dict[str, float]] = []
        """What the environment said of each finished episode: the true-or-false entries of its last info."""

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:  # from the Monitor, which sits below any redistribution
                self.returns.append(float(info["episode"]["r"]))
                self.steps.append(self.num_timesteps)
                flags = {key: float(value) for key, value in info.items() if isinstance(value, bool | np.bool_)}
                self.outcomes.append(flags)
        return True

    def recent_outcomes(self, episodes: int = RECENT) -> dict[str, float]:
        """Share of the latest episodes in which each true-or-false entry of the last info was true."""
        latest = self.outcomes[-episodes:]
        return {key: float(np.mean([one[key] for one in latest if key in one])) for key in (latest or [{}])[0]}

    def recent(self, episodes: int = RECENT) -> float:
        """Mean true return of the latest episodes; NaN before the first has ended."""
        return float(np.mean(self.returns[-episodes:])) if self.returns else float("nan")

    def curve(self, timesteps: int, points: int = 30) -> list[tuple[int, float]]:
        """Environment steps, and the mean true return of the episodes before, up to `RECENT`."""
        steps, returns = np.array(self.steps), np.array(self.returns)
        curve = []
        for at in np.linspace(timesteps / points, timesteps, points).astype(int):
            ended = int(np.searchsorted(steps, at, side="right"))
            if ended:
                curve.append((int(at), round(float(returns[max(ended - RECENT, 0) : ended].mean()), 3)))
        return curve


def random_policy(env: gym.Env[Any, Any]) -> Policy:
    """Actions from the whole space, drawn by its own generator."""
    return lambda _: env.action_space.sample()


def trained_policy(model: BaseAlgorithm, env: gym.Env[Any, Any], statistics: VecNormalize | None) -> Policy:
    """The agent as it trained: it remembers, heeds the masks of its actions, and sees what is normalised.

    Args:
        model: of Stable-Baselines3 or sb3-contrib.
        env: that it plays in, for the masks.
        statistics: that observations are normalised by.
    """
    memory, masked = None, type(model).__name__ == "MaskablePPO"
    begins = np.array([True])

    def act(observation: Any) -> Any:
        nonlocal memory, begins
        masks = {"action_masks": env.get_wrapper_attr("action_masks")()} if masked else {}
        seen = observation if statistics is None else statistics.normalize_obs(observation)
        action, memory = model.predict(seen, state=memory, episode_start=begins, **masks)
        begins = np.array([False])
        return action

    return act


def play_episode(env: gym.Env[Any, Any], policy: Policy, seed: int) -> Episode:
    """Play one episode from a seeded reset."""
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards = [observation], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        actions.append(policy(observation))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        observations.append(observation)
        rewards.append(float(reward))
    stacked = map_arrays(lambda *rows: np.stack(rows), *observations)
    return Episode(stacked, np.stack(actions), np.array(rewards), truncated and not terminated)


def mean_return(env: gym.Env[Any, Any], begin: Callable[[], Policy], episodes: int, seed: int) -> float:
    """Mean true return over evaluation episodes, each played by a policy that begins anew."""
    return float(np.mean([play_episode(env, begin(), seed + k).episode_return for k in range(episodes)]))
