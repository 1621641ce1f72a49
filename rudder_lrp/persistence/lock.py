"""A lock on a folder or a file that dies with its process: one run writes there, and a killed one blocks nobody."""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 100, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


logger = logging.getLogger(__name__)

_NAME = ".lock"


class FolderInUseError(OSError):
    """Somebody else writes into the folder, or to the file."""


class FolderLock:
    """Held from the moment it is made until it is released, or its process ends.

    Processes that are forked from this one do not inherit it.

    Args:
        folder: made if it is not there.
        file: name of the one file in it that is locked, in place of all of it.

    Raises:
        FolderInUseError: if it is held already.
    """

    _held: dict[Path, FolderLock] = {}  # noqa: RUF012 - by the process: the system's lock lets it lock again

    def __init__(self, folder: str | Path, file: str = "") -> None:
        folder = Path(folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.locked = folder / file
        self._process = os.getpid()
        if self.locked in self._held and self._held[self.locked].held:
            raise FolderInUseError(f"{self.locked} is in use by this process; end that run, or name another one")
        self._descriptor = _lock_file(folder / (f".{file}{_NAME}" if file else _NAME), self.locked)
        self._held[self.locked] = self

    @property
    def held(self) -> bool:
        """Whether it was not released, in the process that made it."""
        return self._held.get(self.locked) is self and self._process == os.getpid()

    def release(self) -> None:
        """Let others write."""
        if self.held:
            del self._held[self.locked]
            os.close(self._descriptor)


def _lock_file(path: Path, locked: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks
            logger.warning("%s cannot be locked (%s): see to it yourself that one run writes there", locked, error)
            return descriptor
        process = os.read(descriptor, 20).decode(errors="replace").strip()
        os.close(descriptor)
        raise FolderInUseError(
            f"{locked} is in use by process {process or 'unknown'}; end that run, or name another one"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
