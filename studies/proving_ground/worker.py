"""A job in a process of its own: what it measured, or what became of it."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from enum import StrEnum
from multiprocessing import get_context
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, cast

import torch

from studies.provenance import made_with
from studies.proving_ground.trials import Job, Result

Perform = Callable[[Job], dict[int, Result]]

_ASKING = Lock()
"""Held where processes are asked how they ended. Starting one asks after all others (`multiprocessing` does), and of
two threads that ask at once after the same one, the second finds the answer gone and makes up another."""


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
    with _ASKING:
        process.start()
    sender.close()
    try:
        results = _await(process, receiver, cap_seconds, job, stopped or Event())
    finally:
        process.kill()
        _exit_code(process)
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
        except (EOFError, OSError):  # the latter if it died while it was speaking
            return alike(job, Status.LOST, _ending(_exit_code(process)))
        if answer is not None:
            return answer
        began = time.monotonic()
    return alike(job, Status.INTERRUPTED, "the harness was stopped")


def _exit_code(process: Any) -> int:
    """Of a process that has ended, or is about to."""
    with _ASKING:
        process.join()
        return cast(int, process.exitcode)


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"the process ended with {exit_code}"
    killer = ", as the system does when memory runs out" if exit_code == -signal.SIGKILL else ""
    return f"the process was killed by signal {-exit_code}{killer}"


def _answer(job: Job, perform: Perform, sender: Any) -> None:
    # Ctrl-C reaches every process of a terminal; the harness ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_harness, args=(sender,), daemon=True).start()
    sender.send(None)
    try:
        answer = ForkingPickler.dumps(perform(job))
    except Exception as error:
        answer = ForkingPickler.dumps(failed(job, error))
    sender.send_bytes(answer)


def _end_with_harness(sender: Any) -> None:
    """A harness that was killed can end nobody; the other end of the pipe is closed then."""
    if hasattr(select, "poll"):  # not on Windows
        poll = select.poll()
        poll.register(sender.fileno(), select.POLLERR)
        poll.poll()
        os._exit(1)


def failed(job: Job, error: Exception) -> dict[int, Result]:
    """What an exception says of a job."""
    reason = f"{type(error).__name__}: {error}"
    for status, is_so in ((Status.OUT_OF_MEMORY, _lacks_memory), (Status.DISK_FULL, _lacks_space)):
        if any(map(is_so, _chain(error))):
            return alike(job, status, reason)
    lines = "".join(traceback.format_exception(error)).rstrip()
    told = re.sub(r'File "([^"]*)"', lambda found: f'File "{_short(found[1])}"', lines)
    return alike(job, Status.CRASHED, reason, traceback=told)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it: libraries raise errors of their own where memory or disk gave out."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _lacks_memory(error: BaseException) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    return known or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def _lacks_space(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


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
