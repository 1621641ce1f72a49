"""Text files of rows, JSON a line, that are seen complete by several processes, at any moment, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

FORMAT = 3
"""Version of the rows."""

Row = dict[str, Any]
"""What was written in one line, by name."""


@dataclass(frozen=True)
class JsonLines:
    """A file of rows, each with its version."""

    path: Path
    remedy: str = "delete the line, and its run will be repeated"
    """What to do where a line is damaged."""

    def read(self, required: Sequence[str]) -> list[Row]:
        """All rows, in the order of the lines; none if there is no file.

        Raises:
            ValueError: naming the line that is damaged, of another version, or lacks one of the required names.
        """
        if not self.path.is_file():
            return []
        lines = self.path.read_text(errors="replace").splitlines()
        return [self._parsed(line, number, required) for number, line in enumerate(lines, start=1)]

    def write(self, rows: Iterable[Row]) -> None:
        """Replace the file as a whole."""
        partial = self.path.with_name(f".{self.path.name}.partial")
        with partial.open("w") as file:
            for row in rows:
                file.write(json.dumps({"format": FORMAT, **row}, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def claimed(self) -> AbstractContextManager[object]:
        """Held by one writer at a time; it ends with its process."""
        return FileLock(self.locks() / f"{self.path.name}.lock")

    def locks(self) -> Path:
        """The folder of the locks; they hold nothing."""
        folder = self.path.parent / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def refused(self, number: int, found: str, remedy: str) -> ValueError:
        """The error that names a line, what is wrong with it and what to do."""
        return ValueError(f"{self.path}, line {number}, {found}; {remedy}")

    def _parsed(self, line: str, number: int, required: Sequence[str]) -> Row:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise self.refused(number, f"is damaged ({error})", self.remedy) from error
        if not isinstance(row, dict):
            raise self.refused(number, f"is damaged (no row of names and values but {line[:20]!r})", self.remedy)
        if row.get("format") != FORMAT:
            found = f"has format {row.get('format')!r}, this code reads {FORMAT}"
            raise self.refused(number, found, "give another results folder, or delete the line to repeat the run")
        if missing := [name for name in required if not isinstance(row.get(name), str | int | float)]:
            raise self.refused(number, f"is damaged or of another study (no {missing[0]!r})", self.remedy)
        del row["format"]
        return dict(row)
