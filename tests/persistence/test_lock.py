from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rudder_lrp.persistence.lock import FolderInUseError, FolderLock

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
