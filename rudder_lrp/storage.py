"""Files of tensors and a small JSON header: written atomically, checked whole, read without executing anything."""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

_UNREADABLE = (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError)
"""What parsing a damaged file may raise; `RecursionError` is a `RuntimeError`."""


class DamagedFileError(ValueError):
    """A saved file is not what was written; nothing of it was taken over."""


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], kind: str, header: dict[str, Any]) -> Path:
    """Write tensors and header to a safetensors file that is either whole or not there.

    Args:
        path: of the file; missing folders are made.
        tensors: by name.
        kind: what the file holds, and the version of that; `read_tensors` asks for the same.
        header: JSON-serialisable.
    """
    text = json.dumps(header)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"kind": kind, "header": text, "checksum": str(_checksum(text, whole))}
    return replace_file(Path(path), save(whole, metadata=metadata))


def replace_file(path: Path, data: bytes) -> Path:
    """Write a file that is either whole and on the disk, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        DamagedFileError: if the file is not as it was written.
        ValueError: if the file holds something else than `kind`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no {kind} at {path}")
    data = read_file(path)
    try:
        tensors = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
        found, text, checksum = metadata.get("kind"), metadata.get("header"), metadata.get("checksum")
    except _UNREADABLE as error:
        raise DamagedFileError(
            f"{path} is damaged or no safetensors file ({error}); restore it or train anew"
        ) from error
    if found != kind:
        raise ValueError(_other_kind(path, found, kind))
    if text is None or checksum != str(_checksum(text, tensors)):
        raise DamagedFileError(f"{path} is damaged: its contents do not match their checksum; restore it or train anew")
    return tensors, _parsed(path, text)


def _other_kind(path: Path, found: str | None, kind: str) -> str:
    if found is None or found.rsplit(" ", 1)[0] != kind.rsplit(" ", 1)[0]:
        return f"{path} holds {found or 'something unknown'!r}, not {kind!r}; name a file that was saved as such"
    return (
        f"{path} holds {found!r} and this version of rudder_lrp reads {kind!r}; load it with the version that wrote "
        "it, or train anew"
    )


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"the header of {path} is damaged ({error}); restore it or train anew") from error
    if not isinstance(header, dict):
        raise DamagedFileError(f"the header of {path} is a {type(header).__name__}, not a table; restore it")
    return header


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), checksum)
        if tensor.numel():
            checksum = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, checksum)
    return checksum


def read_file(path: Path) -> bytes:
    """Read a file whole, unless reading it might never end.

    Raises:
        DamagedFileError: if it is no regular file, or does not fit into memory.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise DamagedFileError(f"{path} is no regular file; restore it from a copy")
    try:
        return path.read_bytes()
    except MemoryError as error:
        size = path.stat().st_size
        raise DamagedFileError(f"{path} has {size} bytes, more than memory holds; restore it from a copy") from error


def check_tensors(path: str | Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors that have other names, shapes or types than expected, or values that are not finite.

    Raises:
        DamagedFileError: naming the first that differs.
    """
    if different := sorted(tensors.keys() ^ expected.keys()):
        what = "lacks" if different[0] in expected else "holds an unknown"
        raise DamagedFileError(f"{path} {what} tensor {different[0]!r}; restore it or train anew")
    for name, tensor in tensors.items():
        own = expected[name]
        if (tensor.shape, tensor.dtype) != (own.shape, own.dtype):
            raise DamagedFileError(
                f"{path}: {name!r} is {tuple(tensor.shape)} of {tensor.dtype}, where {tuple(own.shape)} of {own.dtype} "
                "is needed; restore it or train anew"
            )
        if not tensor.isfinite().all():
            raise DamagedFileError(f"{path}: {name!r} holds NaN or infinity; restore it or train anew")


def check_count(path: str | Path, header: Mapping[str, Any], name: str, least: int = 0, most: int = 2**62) -> int:
    """A whole number of a header.

    Raises:
        DamagedFileError: if it is missing, no whole number, or out of range.
    """
    count = header.get(name)
    if type(count) is not int or not least <= count <= most:
        raise DamagedFileError(
            f"{path}: {name!r} is {count!r}, where a whole number from {least} to {most} is needed; restore it"
        )
    return count
