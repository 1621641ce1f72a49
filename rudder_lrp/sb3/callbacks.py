"""What a person sees of a training run, and what is left of it after a kill: each callback works alone."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from weakref import WeakSet

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Image

from rudder_lrp.persistence.journal import LessonJournal
from rudder_lrp.persistence.lock import FolderLock
from rudder_lrp.persistence.run_folder import RunFolder, check_keep
from rudder_lrp.redistribution import DifferenceRedistributor
from rudder_lrp.redistribution.base import Redistributor
from rudder_lrp.redistribution.diagnosis import credit_report, timeline
from rudder_lrp.sb3.episodic import EpisodicCredit
from rudder_lrp.sb3.replay_buffers import RedistributedReplayBuffer
from rudder_lrp.sb3.resume import credit_env, write_checkpoint
from rudder_lrp.sb3.rollout_buffers import RedistributedRolloutBuffer
from rudder_lrp.sb3.vec_env import RedistributedRewardVecEnv
from rudder_lrp.viewing.tensorboard import as_image, draw_timeline

logger = logging.getLogger(__name__)

_SHARE_LEFT = 0.37  # below e^-1 the discount, and not the reward, decides
_EXCLUDED = ("stdout", "log", "json", "csv")  # pictures belong in TensorBoard alone


def _credit_of_buffer(model: BaseAlgorithm) -> EpisodicCredit | None:
    buffer = getattr(model, "rollout_buffer", None) or getattr(model, "replay_buffer", None)
    if isinstance(buffer, RedistributedRolloutBuffer | RedistributedReplayBuffer):
        return buffer.credit
    return None


_told: WeakSet[RedistributedRewardVecEnv] = WeakSet()
"""Wrappers that were said not to be training."""


def _check_interval(name: str, steps: int) -> None:
    if steps < 1:
        raise ValueError(f"{name} must be at least 1 environment step, got {steps}; name more to leave the end alone")


def _check_lessons(n_lessons: int) -> None:
    if n_lessons < 1:
        raise ValueError(f"n_lessons must be at least 1, got {n_lessons}; leave the callback out to look at none")


class _Callback(BaseCallback):
    """Knows the wrapper of the training environment, and does nothing at a step."""

    def _on_training_start(self) -> None:
        self._env = credit_env(self.training_env)
        if not self._env.training and self._env not in _told:
            _told.add(self._env)
            logger.warning(
                "env.training is False, so that the agent learns from the environment's own rewards and nothing is "
                "recorded; set it to True to redistribute them"
            )

    def _on_step(self) -> bool:
        return True

    def _redistributor(self) -> Redistributor:
        credit = _credit_of_buffer(self.model)
        return (credit and credit.redistributor) or DifferenceRedistributor(self._env.predictor)


class LessonRecording(_Callback):
    """Writes every finished episode down, as the predictor sees it, before the predictor trains.

    `rudder_lrp.persistence.journal.read_journal` gives them back.

    Args:
        path: of one file for all lessons; an existing one is continued. One recording at a time writes there: training
            raises `rudder_lrp.persistence.lock.FolderInUseError` while another one does.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._recording = ExitStack()

    def _on_training_start(self) -> None:
        self._recording.close()  # left open where the call before was interrupted
        super()._on_training_start()
        self._recording.callback(FolderLock(self.path.parent, self.path.name).release)
        journal, listeners = LessonJournal(self.path), self._env.online.listeners
        self._recording.callback(journal.close)
        listeners.append(journal.append)
        self._recording.callback(listeners.remove, journal.append)

    def _on_training_end(self) -> None:
        self._recording.close()


class CreditCheckpoints(_Callback):
    """Saves checkpoints that survive a kill at any moment, and a journal of the lessons finished since the latest.

    `rudder_lrp.sb3.resume` goes on from there. The folder belongs to the run: no other one may write there.

    Args:
        folder: where checkpoints go, and the latest `predictor.safetensors`.
        every: environment steps between two checkpoints; there is one at the beginning and one at the end.
        replay_buffer: whether checkpoints of off-policy algorithms hold the replay buffer.
        keep: how many of the newest stay.

    Raises:
        ValueError: if no checkpoint is to be kept, or the interval is not positive.
    """

    def __init__(self, folder: str | Path, *, every: int = 50_000, replay_buffer: bool = False, keep: int = 2) -> None:
        super().__init__()
        _check_interval("every", every)
        check_keep(keep)
        self.folder = Path(folder)
        self.every = every
        self.replay_buffer = replay_buffer
        self.keep = keep

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._run = RunFolder(self.folder, self._env.online, self.keep)
        self.save()

    def _on_rollout_end(self) -> None:
        if self.num_timesteps >= self._next:
            self.save()

    def _on_training_end(self) -> None:
        self.save()
        self._run.close()

    def save(self) -> None:
        """Write a checkpoint, and the latest predictor beside it; each is whole or not there."""
        self._next = self.num_timesteps + self.every
        write_checkpoint(self._run, self.model, replay_buffer=self.replay_buffer)
        self._env.predictor.save(self._run.folder / "predictor.safetensors")  # whatever the working directory is by now


class CreditScalars(_Callback):
    """Logs how good the credit is, below `credit/`.

    True and predicted return, losses at the last step and along the way, explained variance on held-out lessons,
    quality q, residual, relevance leak, and how many steps the reward moved back.

    Args:
        n_lessons: latest held-out episodes that they are computed on.

    Raises:
        ValueError: if there are none.
    """

    def __init__(self, n_lessons: int = 16) -> None:
        super().__init__()
        _check_lessons(n_lessons)
        self.n_lessons = n_lessons

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._told_of_discount = False
        self._reported_version = -1

    def _on_rollout_end(self) -> None:
        if self._env.online.version != self._reported_version:  # a rollout may be a single step
            self._reported_version = self._env.online.version
            self._log()

    def _log(self) -> None:
        online = self._env.online
        self.logger.record("credit/q", online.q)
        self.logger.record("credit/explained_variance", online.quality.explained_variance)
        self.logger.record("credit/loss_last", online.quality.loss_last)
        self.logger.record("credit/loss_along", online.quality.loss_along)
        self.logger.record("credit/foreseen", online.quality.foreseen)
        if lessons := online.lessons.held_out[-self.n_lessons :]:
            report = credit_report(self._redistributor(), lessons)
            for name, value in report.items():
                self.logger.record(f"credit/{name}", value)
            self._check_discount(report["steps_moved_back"])

    def _check_discount(self, steps_moved_back: float) -> None:
        gamma = float(getattr(self.model, "gamma", 1.0))
        credit = _credit_of_buffer(self.model)
        corrected = credit is not None and credit.gamma < 1.0
        if self._told_of_discount or corrected or gamma**steps_moved_back > _SHARE_LEFT:
            return
        self._told_of_discount = True
        logger.warning(
            "the reward moved back by %.0f steps on average, over which gamma=%g discounts to %.2f: the agent no "
            "longer maximises the discounted return of the environment; set gamma=1, or pass "
            "EpisodicCredit(env, redistributor, gamma=%g) to keep it",
            steps_moved_back,
            gamma,
            gamma**steps_moved_back,
            gamma,
        )


class TimelinePictures(_Callback):
    """Draws a few episodes, below `timeline/`.

    True reward, prediction, redistributed reward and the features' relevance over time.

    Args:
        every: environment steps between two rounds of pictures; there is one at the end.
        count: episodes drawn in a round: from the worst to the best of the latest held-out ones.
        n_lessons: latest held-out episodes to choose from.

    Raises:
        ValueError: if there are none, nothing is to be drawn, or the interval is not positive.
    """

    def __init__(self, *, every: int = 50_000, count: int = 3, n_lessons: int = 16) -> None:
        super().__init__()
        _check_interval("every", every)
        _check_lessons(n_lessons)
        if count < 1:
            raise ValueError(f"count must be at least 1 picture, got {count}; leave the callback out to draw none")
        self.every = every
        self.count = count
        self.n_lessons = n_lessons

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self._next = self.num_timesteps + self.every

    def _on_rollout_end(self) -> None:
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            self._draw()

    def _on_training_end(self) -> None:
        self._draw()
        self.logger.dump(self.num_timesteps)

    def _draw(self) -> None:
        lessons = sorted(self._env.online.lessons.held_out[-self.n_lessons :], key=lambda e: e.episode_return)
        if not lessons:
            return
        last = len(lessons) - 1
        for number in range(self.count):
            lesson = lessons[round(number * last / max(self.count - 1, 1))]
            figure = draw_timeline(timeline(self._redistributor(), lesson), f"after {self.num_timesteps:,} steps")
            image = Image(as_image(figure), dataformats="HWC")
            self.logger.record(f"timeline/{number + 1}_of_{self.count}", image, exclude=_EXCLUDED)


class RedistributionCallback(CallbackList):
    """All of it: checkpoints if there is a folder for them, scalars and pictures.

    Args:
        checkpoint_folder: of `CreditCheckpoints`; none, no checkpoints.
        checkpoint_every: environment steps between two checkpoints.
        checkpoint_replay_buffer: whether checkpoints of off-policy algorithms hold the replay buffer.
        pictures_every: environment steps between two rounds of pictures, and at the end.
        n_pictures: episodes drawn in a round, see `TimelinePictures`; 0, no pictures.
        n_lessons: latest held-out episodes that scalars and pictures are made of.

    Raises:
        ValueError: if the replay buffer is to be saved and there is no folder, or a number is too small.
    """

    def __init__(
        self,
        checkpoint_folder: str | Path | None = None,
        *,
        checkpoint_every: int = 50_000,
        checkpoint_replay_buffer: bool = False,
        pictures_every: int = 50_000,
        n_pictures: int = 3,
        n_lessons: int = 16,
    ) -> None:
        callbacks: list[BaseCallback] = [CreditScalars(n_lessons)]
        if n_pictures:
            callbacks.append(TimelinePictures(every=pictures_every, count=n_pictures, n_lessons=n_lessons))
        if checkpoint_folder is None and checkpoint_replay_buffer:
            raise ValueError("checkpoint_replay_buffer does nothing without a checkpoint_folder; name one")
        if checkpoint_folder is not None:
            saving = CreditCheckpoints(
                checkpoint_folder, every=checkpoint_every, replay_buffer=checkpoint_replay_buffer
            )
            callbacks.insert(0, saving)
        super().__init__(callbacks)
