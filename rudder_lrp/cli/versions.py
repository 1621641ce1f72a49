"""What a measurement was made with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3")


def environment_versions() -> dict[str, str]:
    """Versions of Python and the packages that matter, and the kind of machine, for a result file."""
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        "machine": f"{os.cpu_count()} cores, {processor()}",
    }


def processor() -> str:
    """The name of the processor, or of its architecture where the system does not tell."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
