"""Training runs side by side, each in a process and with a log of its own: one that dies takes no other along."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from rudder_lrp.cli.agent import AgentConfig, Credit, build_agent
from rudder_lrp.cli.episodes import TrueReturns
from rudder_lrp.cli.tensorboard import RunDescription
from rudder_lrp.sb3 import RedistributionCallback

LOG, RECORD = "log.txt", "record.json"
_TOLD_EVERY = 0.5  # seconds


@dataclass(frozen=True)
class Job:
    """One training run."""

    arm: str
    """What it is called."""
    config: AgentConfig
    discount: float
    timesteps: int
    folder: Path
    """Of its own, for log and record."""
    tensorboard: bool = False
    """Whether it writes events there."""
    pictures: int = 0
    """Episodes drawn in TensorBoard."""

    @property
    def label(self) -> str:
        """What tells it from the others."""
        return f"{self.arm}, discount {self.discount:g}, seed {self.config.seed}"


@dataclass(frozen=True)
class Record:
    """What one run came to."""

    final_return: float
    """Mean true return of the last training episodes, see `rudder_lrp.cli.episodes.RECENT`."""
    seconds: float
    """Wall time of `learn`."""
    processor_seconds: float
    """Of the whole process, its start included."""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """Environment steps, and the mean true return of the episodes before."""
    outcomes: dict[str, float] = field(default_factory=dict)
    """Share of those episodes in which each true-or-false entry of the last info was true."""


class News(NamedTuple):
    """Something about a job: how far it is, what it came to, or that it died."""

    job: Job
    steps: int = 0
    recent_return: float = float("nan")
    record: Record | None = None
    died: bool = False


class _Telling(BaseCallback):
    """Says how far a run is."""

    def __init__(self, pipe: Connection, returns: TrueReturns) -> None:
        super().__init__()
        self.pipe = pipe
        self.returns = returns
        self._next = 0.0

    def _on_step(self) -> bool:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _TOLD_EVERY
            self.pipe.send((self.num_timesteps, self.returns.recent()))
        return True


def run_all(jobs: Sequence[Job], processes: int) -> Iterator[News]:
    """Run jobs, so many at a time; whatever ends the iteration ends the processes that still run."""
    waiting, running = list(jobs)[::-1], dict[Connection, tuple[Job, Any]]()
    context = _context()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                _start(context, waiting.pop(), running)
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                yield _news(pipe, running)
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with _deaf_to_the_keyboard():
        forkserver.ensure_running()
    return context


@contextmanager
def _deaf_to_the_keyboard() -> Iterator[None]:
    """A process that is started meanwhile stays so: Ctrl-C reaches all of a terminal, and one answer is enough."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start(context: Any, job: Job, running: dict[Connection, tuple[Job, Any]]) -> None:
    ours, theirs = context.Pipe(duplex=False)
    job.folder.mkdir(parents=True)
    process = context.Process(target=work, args=(job, theirs), name=job.label)
    with _without_main():
        process.start()
    theirs.close()
    running[ours] = job, process


@contextmanager
def _without_main() -> Iterator[None]:
    """A new process needs nothing of the script that was started, and imports it no second time."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    main.__spec__ = None
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update({name: value for name, value in kept.items() if value is not None or name == "__spec__"})


def _news(pipe: Connection, running: dict[Connection, tuple[Job, Any]]) -> News:
    job, process = running[pipe]
    try:
        return News(job, *pipe.recv())
    except (EOFError, OSError):  # the latter if it died while it was speaking
        process.join()
        del running[pipe]
        record = job.folder / RECORD
        if process.exitcode or not record.is_file():
            _log_death(job.folder / LOG, process.exitcode)
            return News(job, died=True)
        return News(job, job.timesteps, record=Record(**json.loads(record.read_text())))


def _log_death(log: Path, exitcode: int) -> None:
    """Say how a process ended, which could not do so itself when it was killed."""
    how = f"status {exitcode}" if exitcode >= 0 else signal.Signals(-exitcode).name
    memory = "; the system does so where memory is short" if how == "SIGKILL" else ""
    with log.open("a") as file:
        file.write(f"the process ended with {how}{memory}\n")


def work(job: Job, pipe: Connection) -> None:
    """Do one job in this process: whatever it prints goes to its log, what it came to into its record."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    _print_to(job.folder / LOG)
    before = time.process_time()
    torch.set_num_threads(1)
    model = build_agent(job.config, gamma=job.discount)
    returns = TrueReturns()
    start = time.perf_counter()
    model.learn(job.timesteps, callback=[returns, _Telling(pipe, returns), *_callbacks(job, model, returns)])
    record = Record(
        returns.recent(),
        round(time.perf_counter() - start, 2),
        round(time.process_time() - before, 2),
        returns.curve(job.timesteps),
        returns.recent_outcomes(),
    )
    (job.folder / RECORD).write_text(json.dumps(asdict(record)) + "\n")


def _callbacks(job: Job, model: BaseAlgorithm, returns: TrueReturns) -> list[BaseCallback]:
    if not job.tensorboard:
        return []
    model.set_logger(configure(str(job.folder), ["tensorboard"]))
    callbacks: list[BaseCallback] = [RunDescription(job.config, returns)]
    if job.config.credit is not Credit.NONE:
        callbacks.append(RedistributionCallback(n_pictures=job.pictures))
    return callbacks


def _print_to(path: Path) -> None:
    file = path.open("w")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file.fileno(), stream.fileno())
