"""The one predictor of a run, in a process of its own: it learns from the finished episodes of all EnvRunners.

What reaches it is on disk before it answers. When its process is killed, Ray starts it again, and it goes on from its
last round with all lessons that had reached it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.persistence.online import read_online, write_online
from rudder_lrp.persistence.run_folder import RunFolder, restore
from rudder_lrp.rllib.settings import CreditSettings, Spaces

Version = tuple[str, int]
"""One life of the actor, and its rounds of training."""


class Reply(NamedTuple):
    """What an EnvRunner hears from the predictor."""

    version: Version
    trust: float
    """The predictor's quality q, see `rudder_lrp.prediction.quality.Quality.q`."""
    weights: Any
    """Reference to the predictor's tensors; none, where the EnvRunner has this version."""


class PredictorActor:
    """Collects lessons, trains the predictor and gives its weights to whoever has older ones.

    Args:
        settings: of the run.
        spaces: of observations, as episodes hold them, and of actions.
        folder: where lessons and checkpoints go; a folder that is not empty is gone on from.
        publish: puts an object where every process can get it, and returns a reference.
    """

    def __init__(
        self, settings: CreditSettings, spaces: Spaces, folder: str | Path, publish: Callable[[Any], Any]
    ) -> None:
        torch.set_num_threads(1)
        self.online = settings.online(spaces)
        restore(folder, self.online)
        self._folder = RunFolder(folder, self.online)
        self._folder.checkpoint()
        self._life = uuid.uuid4().hex
        self._publish = publish
        self._steps, self._messages, self._seconds = 0, 0, 0.0
        self._published: tuple[Version, Any] | None = None

    @property
    def version(self) -> Version:
        """Of the predictor's weights."""
        return self._life, self.online.version

    def exchange(self, lessons: Sequence[Lesson], steps: int, version: Version | None, again: bool = False) -> Reply:
        """Take in what an EnvRunner saw, train if it is time, and say what is new.

        Args:
            lessons: its finished episodes.
            steps: environment steps since it last wrote.
            version: of the weights that it has, if any.
            again: whether the lessons were sent before and no answer came.
        """
        begun = time.thread_time()
        for lesson in lessons:
            if not (again and self._knows(lesson)):
                # A copy, since what Ray hands over may not be written to, and stays in its store while it is held.
                self.online.observe(Lesson(lesson.features.copy(), lesson.rewards.copy()))
        self._steps += steps
        if self.online.train_if_due(self._steps):
            self._folder.checkpoint()
        self._messages += 1
        self._seconds += time.thread_time() - begun
        return Reply(self.version, self.online.q, None if version == self.version else self._weights())

    def _knows(self, lesson: Lesson) -> bool:
        kept = (*self.online.lessons.training, *self.online.lessons.held_out)
        return any(
            np.array_equal(one.rewards, lesson.rewards) and np.array_equal(one.features, lesson.features)
            for one in kept
        )

    def _weights(self) -> Any:
        if self._published is None or self._published[0] != self.version:
            tensors = {name: value.cpu().numpy() for name, value in self.online.predictor.state_dict().items()}
            self._published = self.version, self._publish(tensors)
        return self._published[1]

    def progress(self) -> dict[str, float]:
        """What a person looks at while the run goes on, by name."""
        quality = self.online.quality
        return {
            "q": self.online.q,
            "explained_variance": quality.explained_variance,
            "loss_last": quality.loss_last,
            "loss_along": quality.loss_along,
            "version": self.online.version,
            "lessons": self.online.lessons.seen,
            "messages": self._messages,
            "processor_seconds": self._seconds,
        }

    def get_state(self) -> dict[str, bytes]:
        """Predictor, lessons, optimizer and counters, as the files of a checkpoint by name."""
        with TemporaryDirectory() as folder:
            write_online(Path(folder), self.online)
            return {path.name: path.read_bytes() for path in Path(folder).iterdir()}

    def set_state(self, files: dict[str, bytes]) -> None:
        """Take over what `get_state` returned: all of it or nothing.

        Raises:
            ValueError: if a file is damaged, or was made for another predictor.
        """
        with TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            read_online(Path(folder), self.online)()
        self._life = uuid.uuid4().hex
        self._folder.checkpoint()
