"""Attacks what runs save, and writes down what came of it: `python -m tests.attack results/attack.json`.

Kills 100 runs, half of them while the predictor trains, damages saved files 3,000 times, and measures the journal.
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


def attack(n_kills: int, n_mutations: int, seed: int = 0) -> dict[str, Any]:
    """All of it, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        killed = kills.attack(Path(folder) / "kills", n_kills, seed)
        (place := Path(folder) / "mutations").mkdir()
        outcomes, wrong = mutations.attack(place, n_mutations, seed)
        cost = journal_cost.measure(Path(folder))
    return {"kills": killed, "mutations": dict(outcomes), "mutations that went wrong": wrong, "journal": cost}


def provenance(seed: int) -> dict[str, Any]:
    """What it takes to do it again."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    packages = ("torch", "numpy", "stable-baselines3", "gymnasium", "safetensors")
    return {
        "command": "python -m tests.attack " + " ".join(sys.argv[1:]),
        "commit": commit.stdout.strip(),
        "seed": seed,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def main() -> None:
    """Arguments: the file to write, how many kills and mutations, and the seed."""
    path, n_kills, n_mutations, seed = [
        *sys.argv[1:],
        *["results/attack.json", "100", "3000", "0"][len(sys.argv) - 1 :],
    ]
    torch.set_num_threads(1)
    logging.disable()
    began = time.time()
    found = attack(int(n_kills), int(n_mutations), int(seed))
    report = provenance(int(seed)) | {"seconds": round(time.time() - began)} | found
    Path(path).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
