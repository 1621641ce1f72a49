"""What the fingerprints in result tables stand for: the settings of a run, and what it was made with; told once.

Settings and origins repeat over hundreds of rows. A row has eight digits of each, and one table beside the others says
what they stand for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.json_lines import JsonLines

FILE = "fingerprints.jsonl"
"""Its name in a folder of results."""


def fingerprint(of: Any) -> str:
    """Eight digits that change with any part of what they stand for."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints in a folder of results."""

    folder: Path

    def known(self) -> dict[str, Mapping[str, Any]]:
        """What each stands for.

        Raises:
            ValueError: naming the line that cannot be read.
        """
        return {row["fingerprint"]: row["of"] for row in self._lines.read(("fingerprint",))}

    def remember(self, meanings: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what fingerprints stand for; what is known of them stays."""
        if meanings.keys() <= self.known().keys():
            return
        with self._lines.claimed():
            known = {**meanings, **self.known()}
            self._lines.write({"fingerprint": digits, "of": dict(known[digits])} for digits in sorted(known))

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    @property
    def _lines(self) -> JsonLines:
        return JsonLines(self.path, remedy="restore the file, or the rows that name it cannot be read")
