"""A journal of lessons: each is written down the moment its episode ends, so that a killed run loses none.

The file begins with a line that names the format. A record is the number of steps T, the number of features F and a
checksum, then the features, `[T, F]` float32, and the rewards, `[T]` float64. Reading ends at the first record that is
not as it was written, such as one that a kill left half-written, and says so.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
import stat
import struct
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.storage import DamagedFileError

logger = logging.getLogger(__name__)

_FIRST_LINE = b"rudder-lrp lessons 2\n"
_HEADER = struct.Struct("<III")  # steps, features, CRC-32 of both and of what follows
_SHAPE = struct.Struct("<II")


class LessonJournal:
    """Appends lessons to a file.

    A lesson survives a kill of the process as soon as it is appended, and a failure of the machine as soon as the
    operating system has written it out.

    Args:
        path: of the file; an existing one is continued after its last whole lesson, and if it is damaged after that,
            a copy of it stays beside it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        reader = _Reader(self.path)
        for _ in reader:
            pass
        reader.keep_damaged()
        self._end = reader.whole
        self._file = self.path.open("r+b" if self.path.exists() else "x+b", buffering=0)
        self._file.truncate(self._end)
        self._file.seek(self._end)
        if self._end == 0:
            self._write(_FIRST_LINE)

    def append(self, lesson: Lesson) -> None:
        """Write one lesson down.

        Raises:
            OSError: if it cannot be written; the file then ends with the lesson before it.
        """
        shape = lesson.features.shape
        body = lesson.features.astype("<f4").tobytes() + lesson.rewards.astype("<f8").tobytes()
        self._write(_HEADER.pack(*shape, zlib.crc32(body, zlib.crc32(_SHAPE.pack(*shape)))) + body)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            raise
        self._end += len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: str | Path, *, keep_damaged: bool = False) -> Iterator[Lesson]:
    """The lessons that were written whole, in their order; none if there is no such file.

    Of a file that is damaged it gives back all before the damage, and warns of how much was left out.

    Args:
        path: of the file.
        keep_damaged: whether a copy of a damaged file is to stay beside it, `.damaged` at the end of its name.
    """
    reader = _Reader(Path(path))
    yield from reader
    if keep_damaged:
        try:
            reader.keep_damaged()
        except OSError as error:  # nothing is cut off here, so there is no need to stop
            logger.warning("%s could not be copied beside itself: %s", reader.path, error)


class _Reader:
    """Iterates over the lessons of a journal; knows afterwards how far they reach."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.whole = 0
        self._size = 0

    def __iter__(self) -> Iterator[Lesson]:
        if not self.path.exists():
            return
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise DamagedFileError(f"{self.path} is no regular file, so no journal; move it away")
        self.whole, lessons = 0, 0
        with self.path.open("rb") as file:
            self._size = os.fstat(file.fileno()).st_size
            if file.read(len(_FIRST_LINE)) == _FIRST_LINE:
                self.whole = len(_FIRST_LINE)
                while (lesson := _next(file, self._size - self.whole)) is not None:
                    lessons += 1
                    self.whole = file.tell()
                    yield lesson
        if self.whole < self._size:
            logger.warning(
                "%s is damaged after lesson %d: the last %d of its %d bytes were left out",
                self.path,
                lessons,
                self._size - self.whole,
                self._size,
            )

    def keep_damaged(self) -> None:
        """Copy the file beside itself if it is damaged, unless that was done before; no earlier copy is lost."""
        if self.whole == self._size:
            return
        names = (f"{self.path.name}.damaged{number or ''}" for number in count())
        for copy in map(self.path.with_name, names):
            if not copy.exists():
                shutil.copyfile(self.path, copy)
            if filecmp.cmp(self.path, copy, shallow=False):
                return


def _next(file: BinaryIO, left: int) -> Lesson | None:
    """The next lesson, unless the file ends or is damaged there."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    steps, width, checksum = _HEADER.unpack(header)
    length = steps * (4 * width + 8)
    if not 0 < length <= left - _HEADER.size:
        return None
    body = file.read(length)
    if zlib.crc32(body, zlib.crc32(header[: _SHAPE.size])) != checksum:
        return None
    features = np.frombuffer(body, "<f4", steps * width).reshape(steps, width)
    try:
        return Lesson(features.astype(np.float32), np.frombuffer(body[4 * steps * width :], "<f8").astype(np.float64))
    except ValueError:
        return None
