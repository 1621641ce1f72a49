from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.persistence.journal import LessonJournal, read_journal
from rudder_lrp.persistence.lock import FolderInUseError, FolderLock
from rudder_lrp.persistence.run_folder import RunFolder, restore, run_folder
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


@pytest.mark.parametrize("damage", ["half deleted", "flipped bit", "no manifest", "manifest", "longer"])
def test_a_damaged_checkpoint_is_left_out_and_the_one_before_taken_with_all_lessons(tmp_path, caplog, damage) -> None:
    own = run_with_two_checkpoints(tmp_path)
    latest = tmp_path / "checkpoint_000001"
    data = bytearray((latest / "training.safetensors").read_bytes())
    data[-3] ^= 4
    manifest = (latest / "manifest.json").read_text()
    change = {
        "half deleted": lambda: (latest / "lessons.safetensors").unlink(),
        "flipped bit": lambda: (latest / "training.safetensors").write_bytes(data),
        "no manifest": lambda: (latest / "manifest.json").unlink(),
        "manifest": lambda: (latest / "manifest.json").write_text(manifest.replace('"run": "', '"run": "0')),
        "longer": lambda: (latest / "training.safetensors").write_bytes(bytes(data) + b"x"),
    }
    change[damage]()
    again = online(3)
    told = {"half deleted": "lessons.safetensors is missing", "flipped bit": "do not match the manifest"}
    with caplog.at_level(logging.WARNING):
        assert restore(tmp_path, again) == tmp_path / "checkpoint_000000"
    assert again.lessons.seen == own.lessons.seen == 12, "lessons of both journals"
    assert again.version == 0
    assert "checkpoint_000001 was left out, and the checkpoint before it taken" in caplog.text
    assert told.get(damage, "") in caplog.text
    with RunFolder(tmp_path, again) as run:
        assert run.checkpoint().name == "checkpoint_000002"
    assert (tmp_path / "damaged_checkpoint_000001").is_dir()
    fresh = online(4)
    restore(tmp_path, fresh)
    assert state(fresh) == state(again)


def test_a_damaged_checkpoint_stays_where_it_is_while_somebody_writes_there(tmp_path) -> None:
    run_with_two_checkpoints(tmp_path)
    (tmp_path / "checkpoint_000001" / "manifest.json").unlink()
    lock = FolderLock(tmp_path)
    assert restore(tmp_path, online(3)) == tmp_path / "checkpoint_000000"
    assert (tmp_path / "checkpoint_000001").is_dir()
    lock.release()


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


def test_a_run_whose_latest_checkpoint_is_damaged_has_to_resume_before_it_goes_on(tmp_path) -> None:
    own = run_with_two_checkpoints(tmp_path)
    (tmp_path / "checkpoint_000001" / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds the checkpoints of another run, .* resume it"):
        RunFolder(tmp_path, own)
    restore(tmp_path, own)
    with RunFolder(tmp_path, own) as run:
        assert run.checkpoint().name == "checkpoint_000002"


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


def test_a_damaged_journal_that_cannot_be_copied_is_read_all_the_same(tmp_path, caplog, monkeypatch) -> None:
    own = run_with_two_checkpoints(tmp_path)
    with (tmp_path / "lessons_after_000001").open("ab") as journal:
        journal.write(b"torn")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "copyfile", refuse)
    restore(tmp_path, again := online(3))
    assert again.lessons.seen == own.lessons.seen
    assert "could not be copied beside itself: [Errno 13] Permission denied" in caplog.text


def test_lessons_after_the_first_checkpoint_alone_are_named_too(tmp_path, caplog) -> None:
    with RunFolder(tmp_path, own := online()) as run:
        shutil.rmtree(run.checkpoint())
        play(own)
    assert restore(tmp_path, online()) is None
    assert "holds lessons and no checkpoint" in caplog.text


def test_a_damaged_journal_is_kept_when_a_run_goes_on_from_before_it(tmp_path) -> None:
    run_with_two_checkpoints(tmp_path)
    journal = tmp_path / "lessons_after_000001"
    journal.write_bytes(damaged := journal.read_bytes()[:-3])
    restore(tmp_path, online())
    assert (tmp_path / "lessons_after_000001.damaged").read_bytes() == damaged


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


HOLD = """
import sys, time
from rudder_lrp.persistence.lock import FolderLock
lock = FolderLock(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_keeps_other_processes_out_and_dies_with_its_own(tmp_path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(FolderInUseError, match=f"is in use by process {holder.pid}"):
        FolderLock(tmp_path)
    holder.kill()
    holder.communicate()
    lock = FolderLock(tmp_path)
    with pytest.raises(FolderInUseError, match="by this process"):
        FolderLock(tmp_path)
    child = os.fork()
    if child == 0:
        os._exit(0 if not lock.held and refused(tmp_path) else 1)
    assert os.waitpid(child, 0)[1] == 0, "a forked process does not inherit it"
    lock.release()
    after = FolderLock(tmp_path)
    lock.release()
    assert after.held, "releasing twice takes nothing from the next one"
    after.release()


def test_a_lock_names_its_process_and_no_one_before(tmp_path) -> None:
    (tmp_path / ".lock").write_text("12345678901234567890")
    lock = FolderLock(tmp_path)
    assert (tmp_path / ".lock").read_text() == str(os.getpid())
    lock.release()


def test_a_lock_makes_its_folder_and_a_file_that_only_its_owner_writes(tmp_path) -> None:
    lock = FolderLock(tmp_path / "runs" / "one")
    mode = (tmp_path / "runs" / "one" / ".lock").stat().st_mode
    lock.release()
    assert not mode & 0o133


def refused(folder: Path) -> bool:
    try:
        FolderLock(folder)
    except FolderInUseError:
        return True
    return False


def test_a_file_system_without_locks_is_named(tmp_path, caplog, monkeypatch) -> None:
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    FolderLock(tmp_path).release()
    assert "cannot be locked ([Errno 37] No locks available)" in caplog.text
