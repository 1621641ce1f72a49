"""Folders of runs: numbered, so that none is ever overwritten, each with the settings it was begun with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

LATEST = "latest"
SETTINGS = "settings.json"

_Settings = TypeVar("_Settings")


def new_run(folder: Path, name: str) -> Path:
    """Make the folder `name_1`, or with the next number that is free, and point `latest` at it.

    Raises:
        OSError: if nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    used = (path.name.removeprefix(f"{name}_") for path in folder.glob(f"{name}_*"))
    number = max((int(text) for text in used if text.isdecimal()), default=0) + 1
    while True:
        run = folder / f"{name}_{number}"
        try:
            run.mkdir()
        except FileExistsError:  # another process was faster
            number += 1
        else:
            _point_latest(folder, run)
            return run


def check_writable(folder: Path) -> None:
    """Refuse a folder that no run can be written to; makes nothing.

    Raises:
        ValueError: naming what is in the way.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"runs cannot go to {folder}: {there} is a file; name another --logdir")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"runs cannot go to {folder}: {there} cannot be written to; name another --logdir")


def _point_latest(folder: Path, run: Path) -> None:
    partial = folder / f".{LATEST}_{run.name}"
    try:
        partial.symlink_to(run.name, target_is_directory=True)
        partial.replace(folder / LATEST)
    except OSError:  # where links are not allowed, or something else is called so
        partial.unlink(missing_ok=True)


def write_settings(run: Path, settings: Any) -> None:
    """Write a dataclass of settings into a run's folder."""
    (run / SETTINGS).write_text(json.dumps(asdict(settings), indent=1, default=str) + "\n")


def read_settings(run: Path, kind: type[_Settings]) -> _Settings:
    """The settings that a run was begun with.

    Raises:
        ValueError: if the folder holds none, or such that this version does not know.
    """
    path = run / SETTINGS
    try:
        return _restored(kind, json.loads(path.read_text()))
    except OSError as error:
        raise ValueError(f"{run} is no run ({SETTINGS} cannot be read); name the folder of one") from error
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} cannot be understood ({error}); run with the version that wrote it") from error


def _restored(kind: type[_Settings], values: Mapping[str, Any]) -> _Settings:
    hints = get_type_hints(kind)
    known = {part.name for part in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"unknown setting {unknown[0]!r}")
    return kind(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return _restored(hint, value)
    if isinstance(value, str) and Path in (hint, *getattr(hint, "__args__", ())):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value
