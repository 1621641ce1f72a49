"""Result tables: a text file a study, a row a run, JSON a line, sorted; whole or not at all, for several processes."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from studies.provenance import FIELDS

FORMAT = 2
"""Version of the rows."""

FOLDER = Path("results")
"""Where the tables are."""

KEYS = {
    "cost": ("env", "algo", "n_envs", "timesteps", "agent"),
    "faithfulness": ("piece",),
    "lrp_speed": ("device", "threads", "part", "case"),
    "settings": ("settings",),
    "watch_repair": ("agent", "seed"),
}
"""What tells the rows of a table apart, where they are no runs of a benchmark's suite."""

_SUITE_KEY = ("env", "arm", "seed", "settings")

Row = dict[str, Any]
"""What one run came to, by name, with the run's key and its provenance."""

Key = tuple[Any, ...]
"""The values that tell a row from the others."""


@dataclass(frozen=True)
class ResultTable:
    """The rows of a study; the name of the file says of which, where nothing else does.

    Writers take turns and replace the file as a whole, so that a reader, or a kill at any moment, sees it complete;
    rows are sorted by their key, so that it is the same in whatever order the runs ended.
    """

    path: Path
    study: str = ""
    """What the rows are of, where the file may have any name."""

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the fields that tell the rows apart."""
        return KEYS.get(self.study or self.path.stem, _SUITE_KEY)

    def key_of(self, row: Row) -> Key:
        """What tells the row from the others."""
        return tuple(row[name] for name in self.key)

    def rows(self) -> list[Row]:
        """All rows; none if there is no file.

        Raises:
            ValueError: naming the line that is damaged, of another version, or there twice.
        """
        if not self.path.is_file():
            return []
        found: dict[Key, Row] = {}
        for number, line in enumerate(self.path.read_text(errors="replace").splitlines(), start=1):
            row = self._read(line, number)
            if self.key_of(row) in found:
                raise self._refused(number, "repeats the run of an earlier line", "delete the one that is not to count")
            found[self.key_of(row)] = row
        return list(found.values())

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, in place of those with the same key.

        Raises:
            ValueError: if what is there cannot be read.
        """
        with FileLock(self.locks() / f"{self.path.name}.lock"):
            known = {self.key_of(row): row for row in (*self.rows(), *rows)}
            self._write([known[key] for key in sorted(known, key=_order)])

    def locks(self) -> Path:
        """The folder of the locks; they hold nothing, and end with their processes."""
        folder = self.path.parent / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _read(self, line: str, number: int) -> Row:
        remedy = "delete the line, and its run will be repeated"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise self._refused(number, f"is damaged ({error})", remedy) from error
        if not isinstance(row, dict):
            raise self._refused(number, f"is damaged (no row of names and values but {line[:20]!r})", remedy)
        if row.get("format") != FORMAT:
            found = f"has format {row.get('format')!r}, this code reads {FORMAT}"
            raise self._refused(number, found, "give another results folder, or delete the line to repeat the run")
        if missing := [name for name in (*self.key, *FIELDS) if not isinstance(row.get(name), str | int | float)]:
            raise self._refused(number, f"is damaged or of another study (no {missing[0]!r})", remedy)
        del row["format"]
        return dict(row)

    def _refused(self, number: int, found: str, remedy: str) -> ValueError:
        return ValueError(f"{self.path}, line {number}, {found}; {remedy}")

    def _write(self, rows: Iterable[Row]) -> None:
        partial = self.path.with_name(f".{self.path.name}.partial")
        with partial.open("w") as file:
            for row in rows:
                file.write(json.dumps({"format": FORMAT, **_measured(row)}, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)


def _measured(row: Row) -> Row:
    """Without numbers that could not be measured."""
    return {name: value for name, value in row.items() if not (isinstance(value, float) and math.isnan(value))}


def _order(key: Key) -> list[tuple[bool, Any]]:
    return [(isinstance(part, str), part) for part in key]


def fingerprint(settings: Any) -> str:
    """Eight digits that change with any of the settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
