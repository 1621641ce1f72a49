"""How an agent does while it trains, as papers on episodic MuJoCo report it: the true return without exploration."""

from __future__ import annotations

from dataclasses import replace

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy

from agents.deep.presets import AgentConfig, make_environment

EVALUATION_SEED = 10_000


class Evaluations(BaseCallback):
    """Plays the same ten episodes again and again, with the actions that the policy holds best.

    Args:
        config: of the agent that trains.
        every: environment steps between two evaluations.
        episodes: played each time.
    """

    def __init__(self, config: AgentConfig, every: int, episodes: int = 10) -> None:
        super().__init__()
        self.config = replace(config, seed=EVALUATION_SEED)
        self.every, self.episodes = every, episodes
        self.curve: list[tuple[int, float]] = []
        """Environment steps, and the mean true return of the episodes then played."""

    def _on_step(self) -> bool:
        if self.num_timesteps // self.every > len(self.curve):
            env = make_environment(self.config)
            mean, _ = evaluate_policy(self.model, env, self.episodes, deterministic=True, warn=False)
            env.close()
            self.curve.append((self.num_timesteps, float(mean)))
        return True
