"""A journal of lessons: each is written down the moment its episode ends, so that a killed run loses none.

A record is its length and checksum, then the lesson as safetensors. What a kill leaves half-written at the end fails
its checksum and is left out, so reading stops at the last whole lesson.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from safetensors.numpy import load, save

from rudder_lrp.episodes.lessons import Lesson

_HEADER = struct.Struct("<QI")  # length and CRC-32 of the record that follows


class LessonJournal:
    """Appends lessons to a file.

    Args:
        path: of the file; an existing one is continued after its last whole lesson.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = sum(_HEADER.size + len(record) for record in _records(path))
        self._file = path.open("ab")
        self._file.truncate(whole)

    def append(self, lesson: Lesson) -> None:
        """Write one lesson down; it survives a kill of the process from here on."""
        record = save({"features": lesson.features, "rewards": lesson.rewards})
        self._file.write(_HEADER.pack(len(record), zlib.crc32(record)) + record)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: Path) -> Iterator[Lesson]:
    """The lessons that were written whole, in their order; none if there is no such file."""
    for record in _records(path):
        tensors = load(record)
        yield Lesson(tensors["features"], tensors["rewards"])


def _records(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, checksum = _HEADER.unpack(header)
            record = file.read(length)
            if len(record) < length or zlib.crc32(record) != checksum:
                return
            yield record
