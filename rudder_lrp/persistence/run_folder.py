"""The folder of one run: checkpoints to go on from, and the lessons finished since the latest of them.

A folder belongs to the run that wrote its checkpoints. Another run is refused there, and so is a second process of the
same one.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.persistence.checkpoints import (
    journal_after,
    journals_from,
    latest_checkpoint,
    new_checkpoint,
    numbered,
    set_aside,
)
from rudder_lrp.persistence.journal import LessonJournal, read_journal
from rudder_lrp.persistence.lock import FolderInUseError, FolderLock
from rudder_lrp.persistence.manifest import Manifest, is_checkpoint, read_manifest
from rudder_lrp.persistence.online import read_online, write_online
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.storage import DamagedFileError

logger = logging.getLogger(__name__)


class _Position(NamedTuple):
    """How far a run is written down."""

    run: str
    number: int
    """Of its latest checkpoint."""
    journal_size: int
    """Bytes of the journal after that."""


_positions: WeakKeyDictionary[OnlinePredictor, _Position] = WeakKeyDictionary()
_open: dict[Path, RunFolder] = {}


def check_keep(keep: int) -> None:
    """Refuse to keep no checkpoint.

    Raises:
        ValueError: if it is not at least one.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, the latest checkpoint, got {keep}")


def _nothing(_: Path) -> None:
    return None


class RunFolder:
    """Checkpoints of an online predictor, and a journal of the lessons since the latest, for the run that owns them.

    Lessons are written down from the first `checkpoint` until `close`, each before the predictor trains on it.

    Args:
        folder: where they go; made if it is not there.
        online: what is saved.
        keep: how many of the newest checkpoints stay.

    Raises:
        FolderInUseError: if another process writes into the folder.
        ValueError: if the folder holds another run than the one that `online` belongs to, or is none.
    """

    def __init__(self, folder: str | Path, online: OnlinePredictor, keep: int = 2) -> None:
        check_keep(keep)
        _check_folder(Path(folder))
        self.folder = Path(folder).resolve()
        self.keep = keep
        self.online = online
        self._journal: LessonJournal | None = None
        if (before := _open.get(self.folder)) is not None:  # left open when it was interrupted, in this process
            if before.online is not online:
                self._check_owner()
            before.close()
        self._lock = FolderLock(self.folder)
        try:
            self._check_owner()
        except ValueError:
            self._lock.release()
            raise
        _open[self.folder] = self
        online.listeners.append(self._record)

    def _check_owner(self) -> None:
        latest = latest_checkpoint(self.folder)
        if latest is None:
            return
        own, number = _positions.get(self.online), max(numbered(self.folder))
        try:
            run = read_manifest(latest).run
        except DamagedFileError:
            run = ""
        if own is None or own.run != run:
            raise ValueError(
                f"{self.folder} holds the checkpoints of another run, which this one would overwrite; resume it, or "
                "name another folder"
            )
        if (own.number, own.journal_size) != (number, _size(journal_after(self.folder, number))):
            raise ValueError(
                f"the run in {self.folder} went on after this one was resumed from it; resume it again, or name "
                "another folder"
            )

    def checkpoint(self, pipeline: dict[str, Any] | None = None, write: Callable[[Path], None] = _nothing) -> Path:
        """Write a checkpoint: whole, or, if the process is killed on the way, not at all.

        Args:
            pipeline: what the run is built of, JSON-serialisable; whoever resumes compares it with their own.
            write: writes further files into the folder it is given.

        Returns:
            The checkpoint's folder.
        """
        if not self._lock.held:
            raise FolderInUseError(f"{self.folder} was closed, or taken over by a later run; name another folder")
        own = _positions.get(self.online)
        manifest = Manifest(own.run if own else uuid.uuid4().hex, pipeline or {})
        with new_checkpoint(self.folder, manifest, self.keep) as partial:
            write_online(partial, self.online)
            write(partial)
        number = max(numbered(self.folder))
        if self._journal is not None:
            self._journal.close()
        self._journal = LessonJournal(journal_after(self.folder, number))
        self._remember(manifest.run, number)
        return numbered(self.folder)[number]

    def _remember(self, run: str, number: int) -> None:
        _positions[self.online] = _Position(run, number, _size(journal_after(self.folder, number)))

    def _record(self, lesson: Lesson) -> None:
        if self._journal is not None:
            self._journal.append(lesson)

    def close(self) -> None:
        """Write no more, and let others write."""
        if self._record in self.online.listeners:
            self.online.listeners.remove(self._record)
        if self._journal is not None:
            self._journal.close()
            self._journal = None
            own = _positions[self.online]
            self._remember(own.run, own.number)
        if _open.get(self.folder) is self:
            del _open[self.folder]
        self._lock.release()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def run_folder(folder: str | Path, online: OnlinePredictor, keep: int = 2) -> Iterator[RunFolder]:
    """The folder as the run has it open already, or else opened for this block."""
    opened = _open.get(Path(folder).resolve())
    if opened is not None and opened.online is online:
        yield opened
    else:
        with RunFolder(folder, online, keep) as run:
            yield run


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def restore(
    folder: str | Path,
    online: OnlinePredictor,
    check: Callable[[dict[str, Any]], None] = lambda pipeline: None,
    read: Callable[[Path], Callable[[], None] | None] = _nothing,
) -> Path | None:
    """Take over the last whole checkpoint of a folder, and the lessons that were finished after it.

    Nothing is changed unless all of it can be read. A checkpoint that is damaged is left out with a warning, and the
    one before it taken, with the lessons after that.

    Args:
        folder: where checkpoints went.
        online: what takes it over.
        check: refuses a pipeline that the run cannot go on with, by a ValueError.
        read: reads the further files of a checkpoint and returns what takes them over.

    Returns:
        The checkpoint's folder; none if there is no checkpoint.

    Raises:
        ValueError: if there are checkpoints and none is whole, or the run cannot go on with this predictor, or `check`
            says so, or `folder` is itself a checkpoint, or a file.
    """
    folder = Path(folder)
    _check_folder(folder)
    damaged: dict[Path, Exception] = {}
    for number, checkpoint in reversed(numbered(folder).items()):
        try:
            manifest = read_manifest(checkpoint)
            check(manifest.pipeline)
            changes = [read_online(checkpoint, online), read(checkpoint)]
        except (DamagedFileError, FileNotFoundError) as error:
            damaged[checkpoint] = error
            continue
        journals = journals_from(folder, number)
        later = [lesson for journal in journals for lesson in _fitting(journal, len(online.predictor.features))]
        for change in changes:
            if change is not None:
                change()
        for lesson in later:
            online.recall(lesson)
        _positions[online] = _Position(manifest.run, number, _size(journal_after(folder, number)))
        _leave_out(folder, damaged)
        return checkpoint
    if damaged:
        raise ValueError(f"no checkpoint below {folder} is whole: {next(iter(damaged.values()))}")
    if journals_from(folder, 0):
        logger.warning(
            "%s holds lessons and no checkpoint to add them to; rudder_lrp.persistence.journal.read_journal gives them "
            "back",
            folder,
        )
    return None


def _check_folder(folder: Path) -> None:
    if is_checkpoint(folder):
        raise ValueError(f"{folder} is one checkpoint of a run; name the folder it is in, {folder.absolute().parent}")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name the folder that the checkpoints went to")


def _fitting(journal: Path, width: int) -> list[Lesson]:
    lessons = list(read_journal(journal, keep_damaged=True))
    fitting = [lesson for lesson in lessons if lesson.features.shape[1] == width]
    if len(fitting) < len(lessons):
        logger.warning(
            "%s: %d lessons of other features than the predictor's were left out", journal, len(lessons) - len(fitting)
        )
    return fitting


def _leave_out(folder: Path, damaged: dict[Path, Exception]) -> None:
    if not damaged:
        return
    for checkpoint, error in damaged.items():
        logger.warning("%s was left out, and the checkpoint before it taken: %s", checkpoint, error)
    with suppress(OSError):  # a folder that one may not write in is left as it is
        lock = FolderLock(folder)
        for checkpoint in damaged:
            set_aside(checkpoint)
        lock.release()
