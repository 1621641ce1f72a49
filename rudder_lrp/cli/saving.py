"""Checkpoints of an agent without credit; one with credit has those of `RedistributionCallback`."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from rudder_lrp.sb3.resume import write_statistics

_MODEL = "model.zip"


class ModelCheckpoints(BaseCallback):
    """Saves the model now and then over the one before; whole, or as it was.

    Args:
        folder: of the run.
        every: environment steps between two checkpoints.
    """

    def __init__(self, folder: Path, every: int) -> None:
        super().__init__()
        self.folder = folder
        self.every = every

    def _on_training_start(self) -> None:
        self._next = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            self.save()

    def _on_training_end(self) -> None:
        self.save()

    def save(self) -> None:
        """Write the model."""
        save_model(self.model, self.folder)


def save_model(model: BaseAlgorithm, folder: Path) -> None:
    """Write a model into the folder of its run, and the statistics that normalise what it sees."""
    partial = folder / f".unfinished_{_MODEL}"
    model.save(partial)
    partial.replace(folder / _MODEL)
    write_statistics(folder, model.get_env())


def saved_model(folder: Path) -> Path | None:
    """The model of a run; none if none was saved yet."""
    path = folder / _MODEL
    return path if path.is_file() else None
