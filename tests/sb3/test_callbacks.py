"""What callbacks log, draw and write down, each by itself, and that the list of all of them passes its options on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from rudder_lrp.persistence.journal import read_journal
from rudder_lrp.redistribution import DifferenceRedistributor, LRPRedistributor
from rudder_lrp.redistribution.diagnosis import credit_report
from rudder_lrp.sb3 import (
    CreditCheckpoints,
    CreditScalars,
    EpisodicCredit,
    LessonRecording,
    RedistributedRewardVecEnv,
    RedistributedRolloutBuffer,
    RedistributionCallback,
    TimelinePictures,
    callbacks,
)
from tests.sb3.play import trusted, vec_env


class Kept(KVWriter):
    """All that was logged below `credit/` and `timeline/`, by step."""

    def __init__(self) -> None:
        self.written: dict[int, dict[str, Any]] = {}

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        own = {name: value for name, value in key_values.items() if name.startswith(("credit/", "timeline/"))}
        self.written.setdefault(step, {}).update(own)

    def close(self) -> None:
        pass


def learn(env: RedistributedRewardVecEnv, callback: BaseCallback, steps: int = 128, **options: Any) -> dict[int, Any]:
    """PPO with rollouts of 64 steps; what it logged, by step."""
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32 * env.num_envs, n_epochs=1, seed=0, device="cpu", **options)
    model.set_logger(Logger(None, [kept := Kept()]))
    model.learn(steps, callback=callback, log_interval=1)
    return kept.written


def held_out(env: RedistributedRewardVecEnv, count: int) -> list:
    return env.online.lessons.held_out[-count:]


@pytest.mark.parametrize("count", [2, 16])
def test_scalars_are_the_report_of_the_latest_lessons_and_the_quality(count) -> None:
    env = trusted(vec_env(2), 0.75)
    env.online.quality = env.online.quality._replace(loss_last=3.0, loss_along=4.0, foreseen=0.5)
    written = learn(env, CreditScalars(count), 64)[64]
    report = credit_report(DifferenceRedistributor(env.predictor), held_out(env, count))
    quality = {"q": 0.75, "explained_variance": 0.75, "loss_last": 3.0, "loss_along": 4.0, "foreseen": 0.5}
    assert written == pytest.approx({f"credit/{name}": value for name, value in (report | quality).items()})


def test_scalars_are_logged_once_a_version_and_without_lessons_too() -> None:
    env = trusted(vec_env(2))
    assert "credit/q" not in learn(env, CreditScalars(), 192)[128]
    long = trusted(vec_env(1, longest=10_000))
    first = learn(long, CreditScalars(), 32)[32]
    assert (first["credit/q"], held_out(long, 16)) == (1.0, [])
    assert "credit/residual" not in first


def test_the_report_is_of_the_redistributor_that_the_buffer_has() -> None:
    env = trusted(vec_env(2))
    credit = EpisodicCredit(env, redistributor := LRPRedistributor(env.predictor, "spread", hindsight=True))
    options = {"rollout_buffer_class": RedistributedRolloutBuffer, "rollout_buffer_kwargs": {"credit": credit}}
    written = learn(env, CreditScalars(), 64, **options)[64]
    assert written["credit/steps_moved_back"] == pytest.approx(
        credit_report(redistributor, held_out(env, 16))["steps_moved_back"]
    )


@pytest.mark.parametrize(("gamma", "told"), [(0.5, 1), (1.0, 0)])
def test_a_discount_that_decides_more_than_the_reward_is_told_of_once(gamma, told, caplog, monkeypatch) -> None:
    monkeypatch.setattr(callbacks, "credit_report", lambda *_: {"steps_moved_back": 2.0})
    env = trusted(vec_env(2))

    class Newer(CreditScalars):
        def _on_rollout_start(self) -> None:
            env.online.version += 1

    with caplog.at_level(logging.WARNING):
        learn(env, Newer(), 192, gamma=gamma)
    assert (
        caplog.text.count("the reward moved back by 2 steps on average, over which gamma=0.5 discounts to 0.25") == told
    )
    assert caplog.text.count("pass EpisodicCredit(env, redistributor, gamma=0.5) to keep it") == told


def test_a_discount_that_the_credit_corrects_is_not_told_of(caplog, monkeypatch) -> None:
    monkeypatch.setattr(callbacks, "credit_report", lambda *_: {"steps_moved_back": 2.0})
    env = trusted(vec_env(2))
    credit = EpisodicCredit(env, LRPRedistributor(env.predictor, "spread"), gamma=0.5)
    options = {"rollout_buffer_class": RedistributedRolloutBuffer, "rollout_buffer_kwargs": {"credit": credit}}
    learn(env, CreditScalars(), 64, gamma=0.5, **options)
    assert "discounts to" not in caplog.text


def test_every_lesson_is_written_down_and_the_next_run_goes_on_in_the_same_file(tmp_path) -> None:
    env, recording = trusted(vec_env(2)), LessonRecording(tmp_path / "lessons")
    for run in (1, 2):
        learn(env, recording, 64)
        assert not env.online.listeners
        found = list(read_journal(tmp_path / "lessons"))
        assert len(found) == env.online.lessons.seen > 5 * run
    known = {lesson.rewards.tobytes() for lesson in found}
    assert {lesson.rewards.tobytes() for lesson in env.online.lessons.training} <= known


@pytest.mark.parametrize(("count", "n_lessons"), [(1, 16), (3, 16), (2, 2)])
def test_pictures_go_from_the_worst_to_the_best_of_the_latest_lessons(count, n_lessons, monkeypatch) -> None:
    env, drawn = trusted(vec_env(2)), []

    def remember(shown: Any, title: str) -> str:
        drawn.append((title, float(shown.rewards.sum())))
        return title

    monkeypatch.setattr(callbacks, "timeline", lambda redistributor, lesson: lesson)
    monkeypatch.setattr(callbacks, "draw_timeline", remember)
    monkeypatch.setattr(callbacks, "as_image", lambda figure: np.zeros((2, 2, 3), np.uint8))
    written = learn(env, TimelinePictures(every=10**6, count=count, n_lessons=n_lessons), 256)
    assert list(written[256]) == [f"timeline/{number}_of_{count}" for number in range(1, count + 1)]
    assert {title for title, _ in drawn} == {"after 256 steps"}
    returns = sorted(lesson.episode_return for lesson in held_out(env, n_lessons))
    places = [0] if count == 1 else np.round(np.linspace(0, len(returns) - 1, count)).astype(int)
    assert [value for _, value in drawn] == pytest.approx([returns[at] for at in places])


def test_pictures_are_drawn_at_intervals_and_at_the_end(monkeypatch) -> None:
    at: list[int] = []
    monkeypatch.setattr(TimelinePictures, "_draw", lambda self: at.append(self.num_timesteps))
    learn(trusted(vec_env(2)), TimelinePictures(every=100), 320)
    assert at == [128, 256, 320]


def test_checkpoints_are_written_at_the_beginning_at_intervals_and_at_the_end(tmp_path, monkeypatch) -> None:
    at: list[int] = []
    save = CreditCheckpoints.save
    monkeypatch.setattr(CreditCheckpoints, "save", lambda self: at.append(self.num_timesteps) or save(self))
    learn(trusted(vec_env(2)), CreditCheckpoints(tmp_path, every=100, keep=3), 320)
    assert at == [0, 128, 256, 320]
    assert (tmp_path / "predictor.safetensors").is_file()
    assert len(list(tmp_path.glob("checkpoint_*"))) == 3


def test_the_list_of_all_passes_its_options_on(tmp_path) -> None:
    scalars, pictures = RedistributionCallback(n_pictures=4, pictures_every=7, n_lessons=9).callbacks
    assert isinstance(scalars, CreditScalars)
    assert (scalars.n_lessons, pictures.count, pictures.every, pictures.n_lessons) == (9, 4, 7, 9)
    saving, *others = RedistributionCallback(tmp_path, checkpoint_every=5, checkpoint_replay_buffer=True).callbacks
    assert (saving.folder, saving.every, saving.replay_buffer, saving.keep) == (Path(tmp_path), 5, True, 2)
    assert [type(one) for one in others] == [CreditScalars, TimelinePictures]


def test_what_a_callback_does_by_itself_is_what_the_list_of_all_makes_of_it(tmp_path) -> None:
    saving, scalars, pictures = RedistributionCallback(tmp_path).callbacks
    alone = CreditCheckpoints(tmp_path), CreditScalars(), TimelinePictures()
    assert (saving.every, saving.replay_buffer, saving.keep) == (alone[0].every, alone[0].replay_buffer, alone[0].keep)
    assert scalars.n_lessons == alone[1].n_lessons
    assert (pictures.every, pictures.count, pictures.n_lessons) == (alone[2].every, alone[2].count, alone[2].n_lessons)


@pytest.mark.parametrize(
    "build", [lambda every: CreditCheckpoints("runs", every=every), lambda n: TimelinePictures(every=n)]
)
def test_an_interval_of_no_step_is_refused(build) -> None:
    with pytest.raises(ValueError, match="every must be at least 1 environment step, got 0"):
        build(0)
    build(1)


def test_a_wrapper_that_is_not_training_is_told_of_once(caplog) -> None:
    env = trusted(vec_env(1))
    env.training = False
    for _ in range(2):
        learn(env, CreditScalars(), 32)
    assert caplog.text.count("env.training is False") == 1
