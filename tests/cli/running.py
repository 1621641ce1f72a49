"""Runs the command as a person would: in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEPS = "tests.cli.steps:Steps-v0"


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rudder_lrp", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=ROOT, start_new_session=True
    )


def finished(*arguments: object, code: int = 0, timeout: float = 600) -> tuple[str, str]:
    """What the command printed and what it complained of, once it has ended as it should."""
    process = start(*arguments)
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == code, out + err
    return out, err


def interrupted(*arguments: object, under_way: Callable[[], bool], pause: float) -> str:
    """What the command complained of, interrupted by the keyboard a while after it was under way."""
    process = start(*arguments)
    try:
        deadline = time.monotonic() + 240
        while not under_way():
            assert time.monotonic() < deadline, "it did not start"
            assert process.poll() is None, process.communicate()
            time.sleep(0.5)
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        _, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    return err
