"""What a person sees of a training run: scalars and timelines in TensorBoard, and checkpoints to go on from."""

from __future__ import annotations

import logging
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Image

from rudder_lrp.persistence.checkpoints import open_journal
from rudder_lrp.persistence.journal import LessonJournal
from rudder_lrp.redistribution import DifferenceRedistributor
from rudder_lrp.sb3.episodic import EpisodicCredit
from rudder_lrp.sb3.replay_buffers import RedistributedReplayBuffer
from rudder_lrp.sb3.resume import credit_env, save_checkpoint
from rudder_lrp.sb3.rollout_buffers import RedistributedRolloutBuffer
from rudder_lrp.viewing.diagnosis import credit_report, timeline
from rudder_lrp.viewing.tensorboard import as_image, draw_timeline

logger = logging.getLogger(__name__)

_SHARE_LEFT = 0.37  # below e^-1 the discount, and not the reward, decides
_EXCLUDED = ("stdout", "log", "json", "csv")  # pictures belong in TensorBoard alone


class RedistributionCallback(BaseCallback):
    """Logs how good the credit is, draws a few episodes, and saves checkpoints that survive a kill at any moment.

    Scalars under `credit/`: true and predicted return, losses at the last step and along the way, explained variance
    on held-out lessons, quality q, residual, relevance leak, and how many steps the reward moved back.
    Pictures under `timeline/`: true reward, prediction, redistributed reward and the features' relevance over time.

    Args:
        checkpoint_folder: where checkpoints go, a journal of the lessons finished since, and the latest
            `predictor.safetensors`; none, no checkpoints. `rudder_lrp.sb3.resume` goes on from there.
        checkpoint_every: environment steps between two checkpoints; there is one at the beginning and one at the end.
        checkpoint_replay_buffer: whether checkpoints of off-policy algorithms hold the replay buffer.
        pictures_every: environment steps between two rounds of pictures, and at the end.
        n_pictures: episodes drawn in a round: from the worst to the best of the latest held-out ones.
        n_lessons: latest held-out episodes that the scalars are computed on.
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
        super().__init__()
        self.checkpoint_folder = Path(checkpoint_folder) if checkpoint_folder is not None else None
        self.checkpoint_every = checkpoint_every
        self.checkpoint_replay_buffer = checkpoint_replay_buffer
        self.pictures_every = pictures_every
        self.n_pictures = n_pictures
        self.n_lessons = n_lessons
        self._journal: LessonJournal | None = None

    def _on_training_start(self) -> None:
        self._env = credit_env(self.training_env)
        credit = self._credit_of_buffer()
        self._redistributor = (credit and credit.redistributor) or DifferenceRedistributor(self._env.predictor)
        self._corrects_discount = credit is not None and credit.gamma < 1.0
        self._told_of_discount = False
        self._reported_version = -1
        self._next_checkpoint = self.num_timesteps + self.checkpoint_every
        self._next_pictures = self.num_timesteps + self.pictures_every
        self.save()

    def _credit_of_buffer(self) -> EpisodicCredit | None:
        buffer = getattr(self.model, "rollout_buffer", None) or getattr(self.model, "replay_buffer", None)
        if isinstance(buffer, RedistributedRolloutBuffer | RedistributedReplayBuffer):
            return buffer.credit
        return None

    def _on_step(self) -> bool:
        if self._journal is not None:
            for episode in self._env.just_finished:
                self._journal.append(episode.lesson)
        return True

    def _on_rollout_end(self) -> None:
        if self._env.online.version != self._reported_version:  # a rollout may be a single step
            self._reported_version = self._env.online.version
            self._log_scalars()
        if self.num_timesteps >= self._next_pictures:
            self._next_pictures = self.num_timesteps + self.pictures_every
            self._draw()
        if self.num_timesteps >= self._next_checkpoint:
            self._next_checkpoint = self.num_timesteps + self.checkpoint_every
            self.save()

    def _on_training_end(self) -> None:
        self._draw()
        self.logger.dump(self.num_timesteps)
        self.save()

    def _log_scalars(self) -> None:
        online = self._env.online
        self.logger.record("credit/q", online.q)
        self.logger.record("credit/explained_variance", online.quality.explained_variance)
        self.logger.record("credit/loss_last", online.quality.loss_last)
        self.logger.record("credit/loss_along", online.quality.loss_along)
        self.logger.record("credit/foreseen", online.quality.foreseen)
        if lessons := online.lessons.held_out[-self.n_lessons :]:
            report = credit_report(self._redistributor, lessons)
            for name, value in report.items():
                self.logger.record(f"credit/{name}", value)
            self._check_discount(report["steps_moved_back"])

    def _check_discount(self, steps_moved_back: float) -> None:
        gamma = float(getattr(self.model, "gamma", 1.0))
        if self._told_of_discount or self._corrects_discount or gamma**steps_moved_back > _SHARE_LEFT:
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

    def _draw(self) -> None:
        lessons = sorted(self._env.online.lessons.held_out[-self.n_lessons :], key=lambda e: e.episode_return)
        if not lessons:
            return
        last = len(lessons) - 1
        for number in range(self.n_pictures):
            lesson = lessons[round(number * last / max(self.n_pictures - 1, 1))]
            figure = draw_timeline(timeline(self._redistributor, lesson), f"after {self.num_timesteps:,} steps")
            image = Image(as_image(figure), dataformats="HWC")
            self.logger.record(f"timeline/{number + 1}_of_{self.n_pictures}", image, exclude=_EXCLUDED)

    def save(self) -> None:
        """Write a checkpoint, and the latest predictor beside it; each is whole or not there."""
        if self.checkpoint_folder is None:
            return
        save_checkpoint(self.checkpoint_folder, self.model, replay_buffer=self.checkpoint_replay_buffer)
        self._env.predictor.save(self.checkpoint_folder / "predictor.safetensors")
        if self._journal is not None:
            self._journal.close()
        self._journal = open_journal(self.checkpoint_folder)
