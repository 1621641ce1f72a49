"""Result tables: a text file a study, a row a run, sorted; what many rows were made with is told once, beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.fingerprints import Fingerprints, fingerprint
from studies.json_lines import JsonLines, Row
from studies.provenance import FIELDS

FOLDER = Path("results")
"""Where the tables are."""

KEYS = {
    "cost": ("env", "algo", "n_envs", "timesteps", "agent", "seed"),
    "faithfulness": ("piece",),
    "lrp_speed": ("device", "threads", "part", "case"),
    "watch_repair": ("agent", "seed"),
}
"""What tells the rows of a table apart, where they are no runs of a benchmark's suite."""

_SUITE_KEY = ("env", "arm", "seed", "settings")

Key = tuple[Any, ...]
"""The values that tell a row from the others."""


@dataclass(frozen=True)
class ResultTable:
    """The rows of a study; the name of the file says of which, where nothing else does.

    A row is what one run came to, by name, with the run's key and its provenance. In the file the provenance is a
    fingerprint. Writers take turns; rows are sorted by their key, so that the file is the same in whatever order the
    runs ended.
    """

    path: Path
    study: str = ""
    """What the rows are of, where the file may have any name."""

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the fields that tell the rows apart."""
        return KEYS.get(self.study or self.path.stem, _SUITE_KEY)

    @property
    def fingerprints(self) -> Fingerprints:
        """What the fingerprints in the rows stand for."""
        return Fingerprints(self.path.parent)

    def key_of(self, row: Row) -> Key:
        """What tells the row from the others."""
        return tuple(row[name] for name in self.key)

    def rows(self) -> list[Row]:
        """All rows; none if there is no file.

        Raises:
            ValueError: naming the line that is damaged, of another version, there twice, or of unknown origin.
        """
        found: dict[Key, Row] = {}
        lines = self._lines.read((*self.key, "origin"))
        origins = self.fingerprints.known()  # afterwards: whoever writes a row has written its origin before
        for number, row in enumerate(lines, start=1):
            if self.key_of(row) in found:
                remedy = "delete the one that is not to count"
                raise self._lines.refused(number, "repeats the run of an earlier line", remedy)
            found[self.key_of(row)] = self._with_origin(row, number, origins)
        return list(found.values())

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, in place of those with the same key.

        Raises:
            ValueError: if what is there cannot be read.
        """
        with self._lines.claimed():
            new = list(rows)
            known = {self.key_of(row): row for row in (*self.rows(), *new)}
            self.fingerprints.remember({fingerprint(origin): origin for origin in map(_origin, new)})
            self._lines.write(_written(known[key]) for key in sorted(known, key=_order))

    def locks(self) -> Path:
        """The folder of the locks; they hold nothing, and end with their processes."""
        return self._lines.locks()

    @property
    def _lines(self) -> JsonLines:
        return JsonLines(self.path)

    def _with_origin(self, row: Row, number: int, origins: Mapping[str, Mapping[str, Any]]) -> Row:
        origin = row.pop("origin")
        if origin not in origins:
            found = f"was made in a way that {self.fingerprints.path} does not know ({origin})"
            raise self._lines.refused(number, found, "bring the file along, or delete the line to repeat the run")
        return row | origins[origin]


def _origin(row: Row) -> dict[str, str]:
    return {name: row[name] for name in FIELDS}


def _written(row: Row) -> Row:
    """With a fingerprint in place of its provenance, without numbers that could not be measured."""
    measured = {
        name: value
        for name, value in row.items()
        if name not in FIELDS and not (isinstance(value, float) and math.isnan(value))
    }
    return measured | {"origin": fingerprint(_origin(row))}


def _order(key: Key) -> list[tuple[bool, Any]]:
    return [(isinstance(part, str), part) for part in key]
