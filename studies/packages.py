"""Data that lie inside published packages, fetched by pip and never kept in the repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def fetch(requirement: str, folder: Path, *, source: bool = False) -> Path:
    """Download one distribution, without its dependencies, unless it is there already.

    Args:
        requirement: such as `name==1.0`.
        folder: where it goes.
        source: whether the source distribution is wanted.

    Returns: the file.

    Raises:
        OSError: if pip cannot get it.
    """
    name = requirement.partition("==")[0]
    found = [path for path in sorted(folder.glob("*")) if path.name.lower().startswith(name.lower())]
    if found:
        return found[0]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), requirement]
    done = subprocess.run(command + ["--no-binary", ":all:"] * source, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise OSError(f"pip could not download {requirement}: {reason}; put the file into {folder} by hand")
    return fetch(requirement, folder, source=source)
