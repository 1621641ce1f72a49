from __future__ import annotations

import logging
import shutil

import pytest

from rudder_lrp.persistence.lock import FolderLock
from rudder_lrp.persistence.run_folder import RunFolder, restore
from tests.persistence.runs import online, run_with_two_checkpoints, state


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


def test_a_run_whose_latest_checkpoint_is_damaged_has_to_resume_before_it_goes_on(tmp_path) -> None:
    own = run_with_two_checkpoints(tmp_path)
    (tmp_path / "checkpoint_000001" / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds the checkpoints of another run, .* resume it"):
        RunFolder(tmp_path, own)
    restore(tmp_path, own)
    with RunFolder(tmp_path, own) as run:
        assert run.checkpoint().name == "checkpoint_000002"


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


def test_a_damaged_journal_is_kept_when_a_run_goes_on_from_before_it(tmp_path) -> None:
    run_with_two_checkpoints(tmp_path)
    journal = tmp_path / "lessons_after_000001"
    journal.write_bytes(damaged := journal.read_bytes()[:-3])
    restore(tmp_path, online())
    assert (tmp_path / "lessons_after_000001.damaged").read_bytes() == damaged
