"""The predictor as an EnvRunner has it: a copy that is kept up to date, and lessons on their way to the actor.

Nobody waits for anybody: what is new is asked for with one call and picked up with a later one. Lessons are kept until
the actor has confirmed them, and sent again if it was killed before it did.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.rllib.actor import Reply, Version
from rudder_lrp.rllib.settings import CreditSettings, Spaces

_FEWEST = 8  # lessons that a sender keeps, however many senders there are


class PredictorClient:
    """Follows the predictor's actor.

    Args:
        settings: of the run.
        spaces: of observations, as episodes hold them, and of actions.
        senders: how many processes share in filling the actor's buffer; each keeps no more for it than its share.
    """

    def __init__(self, settings: CreditSettings, spaces: Spaces, senders: int = 1) -> None:
        self.predictor: ReturnPredictor = settings.copy(spaces)
        self.trust = 0.0
        """How far the copy is to be trusted, see `rudder_lrp.prediction.quality.Quality.q`."""
        self.version: Version | None = None
        """Of the copy's weights; none before the first."""
        self.bytes_received = 0
        """Of weights, since this was last set to 0."""
        self._settings = settings
        # The actor would drop older ones anyway, and a thousand senders must not fill its memory while it trains.
        share = settings.credit.lesson_capacity // max(senders, 1)
        self._unsent: deque[Lesson] = deque(maxlen=max(share, _FEWEST))
        self._unconfirmed: list[Lesson] = []
        self._steps = 0
        self._again = False
        self._asked: ray.ObjectRef | None = None
        self._asked_at = float("-inf")

    def receive(self) -> bool:
        """Take over new weights if they are there; true if they were."""
        if self._asked is None or not ray.wait([self._asked], timeout=0)[0]:
            return False
        asked, self._asked = self._asked, None
        try:
            reply: Reply = ray.get(asked)
            tensors = None if reply.weights is None else ray.get(reply.weights)
        except RayError:  # it is being started again: what was sent goes there once more
            self._unsent.extendleft(reversed(self._unconfirmed))
            self._again = bool(self._unconfirmed)
            self._unconfirmed = []
            return False
        self._unconfirmed, self._again = [], False
        if tensors is None:
            return False
        self._take_over(tensors, reply)
        return True

    def _take_over(self, tensors: dict[str, Any], reply: Reply) -> None:
        self.predictor.load_state_dict({name: torch.tensor(value) for name, value in tensors.items()})
        self.version, self.trust = reply.version, reply.trust
        self.bytes_received += sum(value.nbytes for value in tensors.values())

    def send(self, lessons: Iterable[Lesson], steps: int) -> int:
        """Hand over finished episodes and the number of steps taken; return how many bytes of lessons left.

        Messages are gathered for `CreditSettings.interval` seconds, and while an answer is outstanding.
        """
        self._unsent.extend(lessons)
        self._steps += steps
        if self._asked is not None or time.monotonic() - self._asked_at < self._settings.interval:
            return 0
        self._asked_at = time.monotonic()
        try:
            actor = ray.get_actor(self._settings.actor)
        except ValueError:  # not there yet, or gone with the run
            return 0
        self._unconfirmed, self._unsent = list(self._unsent), deque(maxlen=self._unsent.maxlen)
        self._asked = actor.exchange.remote(self._unconfirmed, self._steps, self.version, self._again)
        self._steps = 0
        return sum(lesson.features.nbytes + lesson.rewards.nbytes for lesson in self._unconfirmed)
