"""Finished pieces of a study, kept so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studies.provenance import commit as commit_of
from studies.provenance import made_with


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


RESULTS = Path("docs/explanations.json")
"""What the studies of whole models came to, by study."""


def record(command: str, *packages: str) -> dict[str, Any]:
    """What a result says of its making: command, commit, versions and machine; `packages` matter beside the usual."""
    return {"command": command, "commit": commit_of()} | made_with(*packages)


def write(path: Path, study: str, result: dict[str, Any]) -> None:
    """Put a study's result into the file, beside those of others; four significant digits."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted({**known, study: rounded(result)}.items())), indent=1) + "\n")
    print(f"written to {path}", file=sys.stderr)


def rounded(value: Any) -> Any:
    """The same with four significant digits, and None where a number overflowed."""
    if isinstance(value, dict):
        return {str(key): rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value
