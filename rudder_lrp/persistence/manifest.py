"""What a checkpoint holds, written last: by it a reader knows that all files are there and as they were written."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from rudder_lrp.storage import DamagedFileError, read_file, replace_file

_KIND = "checkpoint 2"
_NAME = "manifest.json"
_PIECE = 1 << 20


class Manifest(NamedTuple):
    """Of one checkpoint."""

    run: str
    """Name of the run that wrote it; a run that is resumed keeps its name."""
    pipeline: dict[str, Any]
    """What the run was built of, to be compared with what it is resumed with."""


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder has a manifest, and so holds a checkpoint, not checkpoints."""
    return (folder / _NAME).is_file()


def seal(checkpoint: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder whose other files are complete."""
    files = {path.name: _size_and_checksum(path) for path in sorted(checkpoint.iterdir())}
    contents = {"kind": _KIND, "files": files, **manifest._asdict()}
    text = json.dumps(contents, sort_keys=True)
    replace_file(checkpoint / _NAME, json.dumps({"checksum": zlib.crc32(text.encode()), **contents}).encode())


def read_manifest(checkpoint: Path) -> Manifest:
    """Check all files of a checkpoint against its manifest, and return that.

    Raises:
        DamagedFileError: if a file is missing or not as it was written.
        ValueError: if another version wrote the checkpoint.
    """
    contents = _read(checkpoint / _NAME)
    if contents.get("kind") != _KIND:
        raise ValueError(
            f"{checkpoint} is a {contents.get('kind')!r} and this version of rudder_lrp reads {_KIND!r}; resume it "
            "with the version that wrote it, or begin anew in another folder"
        )
    for name, expected in contents["files"].items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != expected[0] or _size_and_checksum(path) != expected:
            found = "is damaged: its contents do not match the manifest" if path.is_file() else "is missing"
            raise DamagedFileError(f"{path} {found}; restore it from a copy")
    return Manifest(contents["run"], contents["pipeline"])


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise DamagedFileError(f"{path} is missing, so nobody can tell whether the checkpoint is whole; restore it")
    try:
        contents = json.loads(read_file(path))
        checksum = contents.pop("checksum")
        whole = zlib.crc32(json.dumps(contents, sort_keys=True).encode()) == checksum
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}); restore it from a copy") from error
    if not whole:
        raise DamagedFileError(f"{path} is damaged: it does not match its checksum; restore it from a copy")
    return dict(contents)


def _size_and_checksum(path: Path) -> list[int]:
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            checksum = zlib.crc32(piece, checksum)
    return [path.stat().st_size, checksum]
