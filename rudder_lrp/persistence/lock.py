"""A lock on a folder that dies with its process: one run writes there, and a killed one blocks nobody."""

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
    """Another process writes into the folder."""


class FolderLock:
    """Held from the moment it is made until it is released, or its process ends.

    Processes that are forked from this one do not inherit it.

    Args:
        folder: made if it is not there.

    Raises:
        FolderInUseError: if it is held already.
    """

    _held: dict[Path, FolderLock] = {}  # noqa: RUF012 - by the process: the system's lock lets it lock again

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = os.getpid()
        if self.folder in self._held and self._held[self.folder].held:
            raise FolderInUseError(f"{self.folder} is in use by this process; end that run, or name another folder")
        self._descriptor = _locked(self.folder / _NAME)
        self._held[self.folder] = self

    @property
    def held(self) -> bool:
        """Whether it was not released, in the process that made it."""
        return self._held.get(self.folder) is self and self._process == os.getpid()

    def release(self) -> None:
        """Let others write."""
        if self.held:
            del self._held[self.folder]
            os.close(self._descriptor)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks
            logger.warning("%s cannot be locked (%s): see to it yourself that one run writes there", path.parent, error)
            return descriptor
        process = os.read(descriptor, 20).decode(errors="replace").strip()
        os.close(descriptor)
        raise FolderInUseError(
            f"{path.parent} is in use by process {process or 'unknown'}; end that run, or name another folder"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
