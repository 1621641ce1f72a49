"""A job in a process of its own: what it measured, or what became of it."""

from __future__ import annotations

import errno
import re
import signal
import time
import traceback
from collections.abc import Callable
from enum import StrEnum
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from typing import Any

import torch

from studies.provenance import made_with
from studies.proving_ground.trials import Job, Result

Perform = Callable[[Job], dict[int, Result]]


class Status(StrEnum):
    """What became of a job."""

    FINISHED = "finished"
    CAPPED = "capped"
    """It met the cap of its suite."""
    CRASHED = "crashed"
    """The code failed; the row says where."""
    INTERRUPTED = "interrupted"
    """Stopped from outside, as by Ctrl-C."""
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    LOST = "lost"
    """Its process or its machine went away without a word."""
    ELSEWHERE = "elsewhere"
    """Another harness is at it, or has just done it."""

    @property
    def recorded(self) -> bool:
        """Whether it says something of the code; everything else runs again at the next call."""
        return self in (Status.FINISHED, Status.CAPPED, Status.CRASHED)


def guarded(job: Job, cap_seconds: float, perform: Perform, stopped: Event | None = None) -> dict[int, Result]:
    """Run a job in its own process, at most so long and until `stopped` is set; results by seed."""
    context = get_context("forkserver")
    # The second one is what Adam imports, 3 s.
    context.set_forkserver_preload(["studies.proving_ground.trials", "torch._dynamo"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(job, perform, sender), daemon=True)
    process.start()
    sender.close()
    try:
        results = _await(process, receiver, cap_seconds, job, stopped or Event())
    finally:
        process.kill()
        process.join()
    return {seed: result | made_with() for seed, result in results.items()}


def _await(process: Any, receiver: Any, cap_seconds: float, job: Job, stopped: Event) -> dict[int, Result]:
    """Wait for the word that the job has begun, which imports may delay, and then for its results until the cap."""
    began: float | None = None
    while not stopped.is_set():
        if began is not None and time.monotonic() >= began + cap_seconds:
            return alike(job, Status.CAPPED, f"not done after {cap_seconds:g} s")
        if not receiver.poll(0.2):
            continue
        try:
            answer: dict[int, Result] | None = receiver.recv()
        except EOFError:
            process.join()
            return alike(job, Status.LOST, _ending(process.exitcode))
        if answer is not None:
            return answer
        began = time.monotonic()
    return alike(job, Status.INTERRUPTED, "the harness was stopped")


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"the process ended with {exit_code}"
    killer = ", as the system does when memory runs out" if exit_code == -signal.SIGKILL else ""
    return f"the process was killed by signal {-exit_code}{killer}"


def _answer(job: Job, perform: Perform, sender: Any) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of a terminal; the harness ends this one
    sender.send(None)
    try:
        results = perform(job)
    except Exception as error:
        results = failed(job, error)
    sender.send(results)


def failed(job: Job, error: Exception) -> dict[int, Result]:
    """What an exception says of a job."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return alike(job, Status.OUT_OF_MEMORY, reason)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return alike(job, Status.DISK_FULL, reason)
    lines = "".join(traceback.format_exception(error)).rstrip()
    told = re.sub(r'File "([^"]*)"', lambda found: f'File "{_short(found[1])}"', lines)
    return alike(job, Status.CRASHED, reason, traceback=told)


def _short(path: str) -> str:
    """A source file without the folders of the machine."""
    _, packages, inside = path.rpartition("site-packages/")
    root = Path(__file__).parents[2]
    if packages:
        return inside
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else Path(path).name


def alike(job: Job, status: Status, reason: str, **more: str) -> dict[int, Result]:
    """The same for every seed of a job."""
    return {seed: {"status": status.value, "reason": reason, **more} for seed in job.seeds}
