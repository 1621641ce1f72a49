"""Numbered checkpoints below a folder: each appears under its name only when it is complete.

Beside each is a journal of the lessons that came after it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rudder_lrp.persistence.manifest import Manifest, seal

_CHECKPOINT, _JOURNAL, _DAMAGED = "checkpoint_", "lessons_after_", "damaged_checkpoint_"


def numbered(folder: Path, beginning: str = _CHECKPOINT) -> dict[int, Path]:
    """What a folder holds under a name that ends in a number of six digits or more, by number, the oldest first."""
    names = (
        (re.fullmatch(rf"{beginning}(\d{{6}}|[1-9]\d{{6,}})", path.name, re.ASCII), path) for path in folder.glob("*")
    )
    return dict(sorted((int(match[1]), path) for match, path in names if match))


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The newest complete checkpoint below a folder, if there is any."""
    found = numbered(Path(folder))
    return found[max(found)] if found else None


def journal_after(folder: Path, number: int) -> Path:
    """Where the lessons go that come after a checkpoint."""
    return folder / f"{_JOURNAL}{number:06d}"


def journals_from(folder: Path, number: int) -> list[Path]:
    """The journals of the lessons that came after a checkpoint, those of later checkpoints included, in order."""
    return [path for at, path in numbered(folder, _JOURNAL).items() if at >= number]


@contextmanager
def new_checkpoint(folder: Path, manifest: Manifest, keep: int) -> Iterator[Path]:
    """A folder to write the next checkpoint into; it gets its name when the block ends without an error.

    To be called by whoever has the folder's lock alone: what other writers left unfinished is removed.

    Args:
        folder: where checkpoints go.
        manifest: of the checkpoint.
        keep: how many of the newest stay.
    """
    _remove_unfinished(folder)
    used = (number for kind in (_CHECKPOINT, _JOURNAL, _DAMAGED) for number in numbered(folder, kind))
    name = f"{_CHECKPOINT}{max(used, default=-1) + 1:06d}"
    partial = folder / f".unfinished_{name}"
    partial.mkdir()
    yield partial
    seal(partial, manifest)
    for path in [*partial.iterdir(), partial]:
        _flush_to_disk(path)
    partial.rename(folder / name)
    _flush_to_disk(folder)
    _prune(folder, keep)


def set_aside(checkpoint: Path) -> None:
    """Take a damaged checkpoint out of the row and keep it."""
    number = checkpoint.name.removeprefix(_CHECKPOINT)
    checkpoint.rename(checkpoint.with_name(_DAMAGED + number))


def _prune(folder: Path, keep: int) -> None:
    found = numbered(folder)
    for number in list(found)[:-keep]:
        found[number].rename(folder / f".unfinished_{found[number].name}")
    oldest = min(numbered(folder))
    for number, journal in numbered(folder, _JOURNAL).items():
        if number < oldest:
            journal.unlink()
    _remove_unfinished(folder)


def _remove_unfinished(folder: Path) -> None:
    for remains in folder.glob(".unfinished_*"):
        shutil.rmtree(remains)


def _flush_to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # pragma: no cover - Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
