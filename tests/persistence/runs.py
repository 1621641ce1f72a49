"""Runs of a predictor in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rudder_lrp.episodes.lessons import LessonBuffer
from rudder_lrp.persistence.run_folder import RunFolder
from rudder_lrp.prediction.online import OnlineConfig, OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from tests.conftest import SPACES, make_episode
from tests.sb3.play import QUICK


def online(seed: int = 0) -> OnlinePredictor:
    predictor = ReturnPredictor.for_spaces(*SPACES, hidden_size=4, seed=seed)
    config = OnlineConfig(training=QUICK, train_every=8, min_lessons=4)
    return OnlinePredictor(predictor, LessonBuffer(32, seed=seed), config)


def play(own: OnlinePredictor, count: int = 6) -> None:
    rng = np.random.default_rng(own.lessons.seen)
    own.teach(make_episode(rng, int(rng.integers(1, 9))) for _ in range(count))


def state(own: OnlinePredictor) -> list:
    tensors, counters = own.state()
    lessons = [*own.lessons.training, *own.lessons.held_out]
    weights = {name: value.tolist() for name, value in own.predictor.state_dict().items()}
    moments = {name: value.tolist() for name, value in tensors.items()}
    return [weights, moments, repr(counters), own.lessons.seen, [lesson.features.tolist() for lesson in lessons]]


def run_with_two_checkpoints(folder: Path) -> OnlinePredictor:
    own = online()
    with RunFolder(folder, own) as run:
        for steps in (8, 16):
            run.checkpoint()
            play(own)
            own.train_if_due(steps)
    return own
