"""Checkpoints of an online predictor: all of it or nothing, whenever the run is killed.

A folder of checkpoints holds numbered ones, each a folder of its own that appears under its name only when it is
complete, and beside each a journal of the lessons that came after it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rudder_lrp.persistence.journal import LessonJournal, read_journal
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.storage import read_tensors, write_tensors

_KIND = "online predictor 2"
_PREDICTOR, _LESSONS, _TRAINING = "predictor.safetensors", "lessons.safetensors", "training.safetensors"


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The newest complete checkpoint below a folder, if there is any."""
    complete = _numbered(Path(folder))
    return complete[-1] if complete else None


def _numbered(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("checkpoint_??????") if path.is_dir())


def _journal(checkpoint: Path) -> Path:
    return checkpoint.with_name(checkpoint.name.replace("checkpoint", "lessons_after"))


@contextmanager
def new_checkpoint(folder: str | Path, keep: int = 2) -> Iterator[Path]:
    """A folder to write the next checkpoint into; it gets its name when the block ends without an error.

    Args:
        folder: where checkpoints go.
        keep: how many of the newest stay.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for remains in folder.glob(".unfinished_*"):
        shutil.rmtree(remains)
    latest = latest_checkpoint(folder)
    name = f"checkpoint_{int(latest.name[-6:]) + 1 if latest else 0:06d}"
    partial = folder / f".unfinished_{name}"
    partial.mkdir()
    yield partial
    _flush_to_disk(partial)
    partial.rename(folder / name)
    for old in _numbered(folder)[:-keep]:
        _journal(old).unlink(missing_ok=True)
        old.rename(unfinished := folder / f".unfinished_{old.name}")
        shutil.rmtree(unfinished)


def _flush_to_disk(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def open_journal(folder: str | Path) -> LessonJournal:
    """The journal of lessons that come after the latest checkpoint of a folder.

    Raises:
        FileNotFoundError: if there is no checkpoint.
    """
    latest = latest_checkpoint(folder)
    if latest is None:
        raise FileNotFoundError(f"no checkpoint below {folder}: write one before its journal")
    return LessonJournal(_journal(latest))


def write_online(checkpoint: Path, online: OnlinePredictor) -> None:
    """Write predictor, normalisation, lessons, optimizer and counters into a folder."""
    online.predictor.save(checkpoint / _PREDICTOR)
    online.lessons.save(checkpoint / _LESSONS)
    tensors, counters = online.state()
    write_tensors(checkpoint / _TRAINING, tensors, _KIND, counters)


def read_online(checkpoint: Path, online: OnlinePredictor) -> None:
    """Take over what `write_online` wrote, and the lessons that were finished after it.

    Nothing is changed unless all of it can be read.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged, or made for other spaces or for another LSTM.
    """
    features = online.predictor.features
    spaces = features.observation_space, features.action_space
    predictor = ReturnPredictor.load(checkpoint / _PREDICTOR, *spaces)
    _check_shape(checkpoint, predictor, online.predictor)
    tensors, counters = read_tensors(checkpoint / _TRAINING, _KIND)
    later = list(read_journal(_journal(checkpoint)))
    online.lessons.load(checkpoint / _LESSONS)
    online.predictor.load_state_dict(predictor.state_dict())
    online.restore(tensors, counters)
    for lesson in later:
        online.observe(lesson)


def _check_shape(checkpoint: Path, saved: ReturnPredictor, own: ReturnPredictor) -> None:
    found, wanted = (
        (p.structure.value, p.lstm.hidden_size, p.features.encoding.value, len(p.features)) for p in (saved, own)
    )
    if found != wanted:
        raise ValueError(
            f"the predictor in {checkpoint} has a {found[0]} LSTM of {found[1]} cells on the {found[2]} encoding, this "
            f"one a {wanted[0]} LSTM of {wanted[1]} cells on the {wanted[2]} encoding; resume with the predictor's "
            "options of the run that was saved"
        )
