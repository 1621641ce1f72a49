"""Finished pieces of a study, kept so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studies.versions import environment_versions


def kept(folder: Path, name: str, settings: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Load a finished piece, or make it; other settings make another one."""
    fingerprint = hashlib.sha256(json.dumps([name, settings], sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"{name.replace(' ', '_')}_{fingerprint}.json"
    if not path.is_file():
        start = time.process_time()
        result = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(result))
        partial.replace(path)
        print(f"{name:<32} {time.process_time() - start:7.1f} processor seconds", flush=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def record(command: str) -> dict[str, Any]:
    """What a result file says of its making: command, commit, versions and machine."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {"command": command, "commit": commit or "unknown", "versions": environment_versions()}


def write(path: Path, result: dict[str, Any]) -> None:
    """One row a line where lists hold rows, five significant digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(result), indent=1) + "\n")
    print(f"written to {path}", file=sys.stderr)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
