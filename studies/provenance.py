"""What a measurement was made with, so that its row can be made again: command, commit, versions, machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from rudder_lrp.cli.versions import processor

FIELDS = ("command", "commit", "versions", "machine")
"""Of every row of every result table."""

UNKNOWN = "unknown"
"""Where something was not recorded."""

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("torch", "numpy", "gymnasium", "stable-baselines3")


def provenance(*packages: str) -> dict[str, str]:
    """All of `FIELDS` for what this process measures; `packages` matter beside the usual ones."""
    return {"command": command(), "commit": commit()} | made_with(*packages)


def made_with(*packages: str) -> dict[str, str]:
    """Versions and machine of this process; no host name, no path."""
    versions = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in (*_PACKAGES, *packages))]
    return {"versions": ", ".join(versions), "machine": f"{os.cpu_count()} cores, {processor()}"}


def command() -> str:
    """The command of this process, paths outside the checkout shortened to their names."""
    return shlex.join(["python", *map(_without_folders, sys.argv)])


@cache
def commit() -> str:
    """The commit of the code, with a note where the code differs from it; unknown outside a git checkout."""
    found = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results", ":!docs", ":!*.md")
    return UNKNOWN if not found else f"{found} with changes" if changed else found


def _without_folders(argument: str) -> str:
    path = Path(argument)
    if not path.is_absolute():
        return argument
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
