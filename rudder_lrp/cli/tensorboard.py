"""What the command adds to a run's TensorBoard: the guide, hyperparameters, outcomes and the price in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HParam, TensorBoardOutputFormat

from rudder_lrp.cli.agent import AgentConfig
from rudder_lrp.cli.environments import outcome_labels
from rudder_lrp.cli.episodes import TrueReturns
from rudder_lrp.viewing.dashboard import describe_run

_METRICS = {"rollout/ep_rew_mean": 0.0, "price/seconds": 0.0}


def flat_settings(settings: Any, prefix: str = "") -> Iterator[tuple[str, str | float]]:
    """Names and values of a config and the configs in it."""
    for part in fields(settings):
        value = getattr(settings, part.name)
        if is_dataclass(value):
            yield from flat_settings(value, f"{prefix}{part.name}.")
        else:
            plain = value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
            yield f"{prefix}{part.name}", plain


class RunDescription(BaseCallback):
    """Writes the guide and the hyperparameters once, and at each dump of the log the outcomes and the seconds.

    Args:
        config: of the agent.
        returns: where the outcomes are remembered; called before this one.
    """

    def __init__(self, config: AgentConfig, returns: TrueReturns) -> None:
        super().__init__()
        self.config = config
        self.returns = returns
        self._start = time.perf_counter()

    def _on_training_start(self) -> None:
        settings = dict(flat_settings(self.config)) | {"gamma": getattr(self.model, "gamma", float("nan"))}
        for output in self.logger.output_formats:
            if isinstance(output, TensorBoardOutputFormat):
                describe_run(output.writer, settings)
        excluded = ("stdout", "log", "json", "csv")
        self.logger.record("hparams", HParam(settings, _METRICS), exclude=excluded)
        self._labels: Mapping[str, str] = {}
        if env := self.training_env.get_attr("unwrapped")[:1]:
            self._labels = outcome_labels(env[0])

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.logger.record("price/seconds", time.perf_counter() - self._start)
        outcomes = self.returns.recent_outcomes()
        for key, label in self._labels.items():
            if key in outcomes:
                self.logger.record(f"outcomes/{label}", outcomes[key])


def open_log(folder: Path) -> Any:
    """A writer of TensorBoard events into a folder."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
