"""Files of tensors and a small JSON header: written atomically, read without executing anything."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor


def write_tensors(path: str | Path, tensors: dict[str, Tensor], kind: str, header: dict[str, Any]) -> Path:
    """Write tensors and header to a safetensors file that is either whole or not there.

    Args:
        path: of the file; missing folders are made.
        tensors: by name.
        kind: what the file holds; `read_tensors` asks for the same.
        header: JSON-serialisable.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = save(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        metadata={"kind": kind, "header": json.dumps(header)},
    )
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
        ValueError: if the file is damaged, or holds something else than `kind`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {kind} at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file ({error}); restore it or train anew") from error
    if metadata.get("kind") != kind:
        raise ValueError(f"{path} holds {metadata.get('kind', 'something unknown')!r}, not {kind!r}")
    return tensors, json.loads(metadata["header"])
