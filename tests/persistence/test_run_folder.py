from __future__ import annotations

import json
import logging
import shutil
from contextlib import closing

import numpy as np
import pytest

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.persistence.journal import LessonJournal, read_journal
from rudder_lrp.persistence.lock import FolderInUseError
from rudder_lrp.persistence.run_folder import RunFolder, restore, run_folder
from tests.persistence.runs import online, play, run_with_two_checkpoints, state


def test_a_lesson_is_in_the_journal_before_the_predictor_trains(tmp_path) -> None:
    own, at_training = online(), []
    train = own.trainer.train

    def count_first(*arguments):
        at_training.append(len(list(read_journal(tmp_path / "lessons_after_000000"))))
        return train(*arguments)

    own.trainer.train = count_first
    with RunFolder(tmp_path, own) as run:
        run.checkpoint()
        play(own, 9)
        assert own.train_if_due(8)
    assert at_training == [9]


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_checkpoints_stay_as_are_asked_for_and_no_journal_before_them(tmp_path, keep) -> None:
    own = online()
    with RunFolder(tmp_path, own, keep) as run:
        for _ in range(5):
            run.checkpoint()
            play(own, 2)
    kept = range(5 - keep, 5)
    assert sorted(path.name for path in tmp_path.glob("checkpoint_*")) == [f"checkpoint_{at:06d}" for at in kept]
    assert sorted(path.name for path in tmp_path.glob("lessons_*")) == [f"lessons_after_{at:06d}" for at in kept]
    assert not list(tmp_path.glob(".unfinished_*"))


def test_lessons_of_other_features_are_counted_and_left_out(tmp_path, caplog) -> None:
    own = run_with_two_checkpoints(tmp_path)
    with closing(LessonJournal(tmp_path / "lessons_after_000001")) as journal:
        for _ in range(2):
            journal.append(Lesson(np.zeros((3, 2), np.float32), np.zeros(3)))
    again = online(3)
    with caplog.at_level(logging.WARNING):
        restore(tmp_path, again)
    assert "lessons_after_000001: 2 lessons of other features than the predictor's were left out" in caplog.text
    assert again.lessons.seen == own.lessons.seen


def test_where_no_checkpoint_is_whole_nothing_changes(tmp_path) -> None:
    run_with_two_checkpoints(tmp_path)
    for path in tmp_path.glob("checkpoint_*"):
        (path / "predictor.safetensors").write_bytes(b"{}")
    again = online(3)
    before = state(again)
    with pytest.raises(ValueError, match=r"no checkpoint below .* is whole: .*predictor.safetensors is damaged"):
        restore(tmp_path, again)
    assert state(again) == before
    assert restore(tmp_path / "nowhere", again) is None


def test_checkpoints_of_another_version_are_refused_by_name(tmp_path) -> None:
    run_with_two_checkpoints(tmp_path)
    path = tmp_path / "checkpoint_000001" / "manifest.json"
    import zlib

    contents = json.loads(path.read_text()) | {"kind": "checkpoint 1"}
    del contents["checksum"]
    checksum = zlib.crc32(json.dumps(contents, sort_keys=True).encode())
    path.write_text(json.dumps({"checksum": checksum, **contents}))
    with pytest.raises(ValueError, match="is a 'checkpoint 1' and this version of rudder_lrp reads 'checkpoint 2'"):
        restore(tmp_path, online())


def test_a_fresh_run_is_refused_in_a_used_folder_and_harms_nothing(tmp_path) -> None:
    own = run_with_two_checkpoints(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(ValueError, match="holds the checkpoints of another run"):
        RunFolder(tmp_path, online())
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert before == after
    with RunFolder(tmp_path, own) as run:
        run.checkpoint()


def test_a_run_that_went_on_elsewhere_is_not_shadowed(tmp_path) -> None:
    run_with_two_checkpoints(tmp_path)
    one, two = online(1), online(2)
    restore(tmp_path, one)
    restore(tmp_path, two)
    with RunFolder(tmp_path, one) as run:
        run.checkpoint()
    with pytest.raises(ValueError, match="went on after this one was resumed from it"):
        RunFolder(tmp_path, two)
    restore(tmp_path, two)
    with RunFolder(tmp_path, two) as run:
        run.checkpoint()


def test_an_interrupted_call_of_the_same_process_is_followed(tmp_path) -> None:
    own = online()
    interrupted = RunFolder(tmp_path, own)
    interrupted.checkpoint()
    play(own)
    with RunFolder(tmp_path, own) as run:
        run.checkpoint()
        play(own)
    assert len(list(read_journal(tmp_path / "lessons_after_000001"))) == 6, "each lesson is written down once"
    with pytest.raises(FolderInUseError, match="was closed"):
        interrupted.checkpoint()


def test_another_predictor_does_not_take_over_what_an_interrupted_one_left_open(tmp_path) -> None:
    interrupted = RunFolder(tmp_path, online())
    interrupted.checkpoint()
    with pytest.raises(ValueError, match="holds the checkpoints of another run"):
        RunFolder(tmp_path, online(1))
    assert interrupted.checkpoint().name == "checkpoint_000001"
    interrupted.close()


def test_nothing_is_recorded_before_the_first_checkpoint_or_after_the_end(tmp_path) -> None:
    own = online()
    run = RunFolder(tmp_path, own)
    play(own, 2)
    run.checkpoint()
    play(own, 3)
    run.close()
    run.close()
    play(own, 4)
    assert len(list(read_journal(tmp_path / "lessons_after_000000"))) == 3
    restore(tmp_path, again := online(1))
    assert again.lessons.seen == 5


def test_lessons_of_other_features_are_left_out_with_their_number(tmp_path, caplog) -> None:
    own = run_with_two_checkpoints(tmp_path)
    journal = LessonJournal(tmp_path / "lessons_after_000001")
    journal.append(Lesson(np.zeros((3, 2), np.float32), np.zeros(3)))
    journal.close()
    restore(tmp_path, again := online(3))
    assert again.lessons.seen == own.lessons.seen
    assert "1 lessons of other features than the predictor's were left out" in caplog.text


def test_a_folder_that_is_open_is_used_as_it_is(tmp_path) -> None:
    own = online()
    with RunFolder(tmp_path, own) as run:
        run.checkpoint()
        with run_folder(tmp_path, own) as same:
            assert same is run
        run.checkpoint()
    with run_folder(tmp_path, own) as other:
        assert other is not run
    with pytest.raises(ValueError, match="keep must be at least 1"):
        RunFolder(tmp_path, own, keep=0)


def test_copies_and_strangers_are_no_checkpoints(tmp_path) -> None:
    own = run_with_two_checkpoints(tmp_path)
    shutil.copytree(tmp_path / "checkpoint_000001", tmp_path / "checkpoint_backup")
    (tmp_path / "checkpoint_9").mkdir()
    (tmp_path / "checkpoint_0000001").mkdir()
    with RunFolder(tmp_path, own) as run:
        assert run.checkpoint().name == "checkpoint_000002"
    again = online()
    assert restore(tmp_path, again).name == "checkpoint_000002"
    assert (tmp_path / "checkpoint_backup").is_dir()


def test_a_checkpoint_or_a_file_in_place_of_the_folder_is_not_taken_for_an_empty_one(tmp_path) -> None:
    own = run_with_two_checkpoints(tmp_path)
    for path, says in ((tmp_path / "checkpoint_000001", "is one checkpoint of a run"), (tmp_path / ".lock", "a file")):
        with pytest.raises(ValueError, match=says):
            restore(path, online())
        with pytest.raises(ValueError, match=says):
            RunFolder(path, own)


def test_lessons_after_the_first_checkpoint_alone_are_named_too(tmp_path, caplog) -> None:
    with RunFolder(tmp_path, own := online()) as run:
        shutil.rmtree(run.checkpoint())
        play(own)
    assert restore(tmp_path, online()) is None
    assert "holds lessons and no checkpoint" in caplog.text


def test_lessons_without_a_checkpoint_are_named(tmp_path, caplog) -> None:
    run_with_two_checkpoints(tmp_path)
    for path in tmp_path.glob("checkpoint_*"):
        shutil.rmtree(path)
    with caplog.at_level(logging.WARNING):
        assert restore(tmp_path, online()) is None
    told = (
        f"{tmp_path} holds lessons and no checkpoint to add them to; rudder_lrp.persistence.journal.read_journal gives"
    )
    assert f"{told} them back" in caplog.text
    own = online()
    with RunFolder(tmp_path, own) as run:
        assert run.checkpoint().name == "checkpoint_000002", "no number is used twice"
