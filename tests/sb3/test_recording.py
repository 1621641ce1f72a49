"""What is written down while an algorithm trains: each lesson once, in the place that was named at the beginning."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from rudder_lrp.persistence.checkpoints import latest_checkpoint
from rudder_lrp.persistence.journal import read_journal
from rudder_lrp.persistence.lock import FolderInUseError
from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.redistribution.diagnosis import credit_report, timeline
from rudder_lrp.sb3 import (
    CreditCheckpoints,
    LessonRecording,
    RedistributedRewardVecEnv,
    RedistributionCallback,
    TimelinePictures,
    resume,
    save_checkpoint,
)
from tests.sb3.test_evaluation import credit_env, ppo


def returns_of(env: RedistributedRewardVecEnv) -> list[float]:
    lessons = env.online.lessons
    return sorted(lesson.episode_return for lesson in (*lessons.training, *lessons.held_out))


def recorded(path: Path) -> list[float]:
    return sorted(lesson.episode_return for lesson in read_journal(path))


class AtStep(BaseCallback):
    """Does something at every step from one on."""

    def __init__(self, step: int, act) -> None:
        super().__init__()
        self.step, self.act = step, act

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.step:
            self.act()
        return True


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_lesson_is_recorded_before_the_predictor_trains(tmp_path) -> None:
    env, at_training = credit_env(), []
    train = env.online.trainer.train

    def compare_first(lessons):
        at_training.append(recorded(tmp_path / "lessons") == returns_of(env))
        return train(lessons)

    env.online.trainer.train = compare_first
    ppo(env).learn(128, callback=LessonRecording(tmp_path / "lessons"))
    assert at_training
    assert all(at_training)


def test_calls_of_learn_add_to_one_record_also_after_an_interruption(tmp_path) -> None:
    env, recording = credit_env(), LessonRecording(tmp_path / "lessons")
    model = ppo(env)
    with pytest.raises(KeyboardInterrupt):
        model.learn(128, callback=[recording, AtStep(90, interrupt)])
    for _ in range(2):
        model.learn(64, callback=recording)
    assert recorded(tmp_path / "lessons") == returns_of(env)
    model.learn(64)
    assert len(recorded(tmp_path / "lessons")) < env.online.lessons.seen, "none is recorded without the callback"


def test_two_recordings_never_write_to_one_file(tmp_path) -> None:
    first, other = credit_env(), credit_env(seed=1)

    def meanwhile() -> None:
        with pytest.raises(FolderInUseError, match="lessons is in use by this process"):
            ppo(other).learn(32, callback=LessonRecording(tmp_path / "lessons"))

    ppo(first).learn(64, callback=[LessonRecording(tmp_path / "lessons"), AtStep(64, meanwhile)])
    assert recorded(tmp_path / "lessons") == returns_of(first)
    ppo(other).learn(64, callback=LessonRecording(tmp_path / "lessons"))
    assert len(recorded(tmp_path / "lessons")) == first.online.lessons.seen + other.online.lessons.seen


def test_a_run_that_changes_its_working_directory_writes_where_it_began(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    callback = RedistributionCallback("run")
    ppo(credit_env()).learn(64, callback=[callback, AtStep(32, lambda: os.chdir(elsewhere))])
    assert not list(elsewhere.iterdir())
    assert (tmp_path / "run" / "checkpoint_000001").is_dir()
    newest = max((tmp_path / "run").glob("**/predictor.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    assert newest.parent == tmp_path / "run"


def test_checkpoints_and_pictures_come_every_so_many_steps_and_at_the_end(tmp_path) -> None:
    env, saved = credit_env(), []
    model = ppo(env)
    at_each = AtStep(0, lambda: saved.append(max(path.name for path in tmp_path.glob("checkpoint_*"))))
    callbacks = [CreditCheckpoints(tmp_path, every=128), TimelinePictures(every=128), at_each]
    drawn = []
    callbacks[1]._draw = lambda: drawn.append(model.num_timesteps)
    model.learn(320, callback=callbacks)
    assert sorted(set(saved)) == ["checkpoint_000000", "checkpoint_000001", "checkpoint_000002"]
    assert drawn == [128, 256, 320]
    assert latest_checkpoint(tmp_path).name == "checkpoint_000003"


def test_a_run_is_seen_and_saved_where_pytorch_would_make_tensors_elsewhere(tmp_path) -> None:
    env = credit_env()
    model = ppo(env).learn(64)
    with torch.device("meta"):
        save_checkpoint(tmp_path, model)
        resume(tmp_path, again := credit_env(seed=1))
        lessons = again.online.lessons.held_out
        report = credit_report(LRPRedistributor(again.predictor), lessons)
        drawn = timeline(LRPRedistributor(again.predictor), lessons[0])
    assert report == credit_report(LRPRedistributor(env.predictor), env.online.lessons.held_out)
    assert len(drawn.predictions) == len(lessons[0])
