"""Attacks what runs save, and writes down what came of it, each part with the command that made it.

`python -m tests.attack kills 100`: kills runs, half of them while the predictor trains; `mutations 3000`: damages saved
files; `journal 1`: measures what the journal costs. A third argument is the seed, a fourth the file to write.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tests.attack import journal_cost, kills, mutations


def kill(folder: Path, count: int, seed: int) -> Any:
    """What was lost, by algorithm."""
    return kills.attack(folder / "kills", count, seed)


def damage(folder: Path, count: int, seed: int) -> Any:
    """What came of it, and what should not have."""
    outcomes, wrong = mutations.attack(folder, count, seed)
    return {**outcomes, "wrong": wrong}


def cost(folder: Path, count: int, seed: int) -> Any:
    """Of the journal."""
    return journal_cost.measure(folder)


PARTS = {"kills": kill, "mutations": damage, "journal": cost}


def provenance() -> dict[str, Any]:
    """What it takes to do it again."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    packages = ("torch", "numpy", "stable-baselines3", "gymnasium", "safetensors")
    return {
        "command": "python -m tests.attack " + " ".join(sys.argv[1:4]),
        "commit": commit.stdout.strip(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def main() -> None:
    """Arguments: the part, how often, the seed and the file."""
    part, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    path = Path(sys.argv[4] if len(sys.argv) > 4 else "tests/attack/measured.json")
    torch.set_num_threads(1)
    logging.disable()
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        found = PARTS[part](Path(folder), count, seed)
    report = provenance() | {"seconds": round(time.time() - began), "found": found}
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**known, f"{part}, seed {seed}": report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
