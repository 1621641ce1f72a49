"""What a person sees while a run goes on."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import unwrap_vec_wrapper

from rudder_lrp.cli.episodes import TrueReturns
from rudder_lrp.sb3 import RedistributedRewardVecEnv

console = Console(stderr=True)
"""Where progress goes, so that what a command prints can be piped."""


class ProgressBar(BaseCallback):
    """A bar with the true return and how far the predictor is trusted.

    Args:
        returns: where the true returns are remembered.
        total: environment steps at the end.
    """

    def __init__(self, returns: TrueReturns, total: int) -> None:
        super().__init__()
        self.returns = returns
        self.total = total

    def _on_training_start(self) -> None:
        env = unwrap_vec_wrapper(self.training_env, RedistributedRewardVecEnv)
        self._online = None if env is None else env.online
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("training", total=self.total, completed=self.num_timesteps)
        self._progress.start()

    def _on_step(self) -> bool:
        self._progress.update(self._task, completed=min(self.num_timesteps, self.total))
        return True

    def _on_rollout_end(self) -> None:
        self._progress.update(self._task, description=f"return {self.returns.recent():.2f}{self._trust()}")

    def _trust(self) -> str:
        if self._online is None:
            return ""
        return f" trust {self._online.q:.0%}"

    def _on_training_end(self) -> None:
        self._progress.stop()
