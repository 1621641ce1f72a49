"""A suite whose runs only pretend to learn."""

from __future__ import annotations

import errno
import gc
import os
import signal
import struct
import time
from multiprocessing.connection import Connection

from studies.proving_ground.harness import run_suite
from studies.proving_ground.tasks import Suite, Task
from studies.proving_ground.trials import Job, Result
from studies.results import ResultTable

TASK = Task("rudder_lrp/TraceBack10-v0", arms=("monte_carlo", "lrp/accumulator"), episodes=160, baseline_episodes=100)
DEEP_TASK = Task(
    "LunarLander-v3", arms=("dense", "none", "recurrent_ppo", "lrp/markov"), timesteps=2048, evaluation_episodes=2
)
SUITE = Suite((TASK,), seeds=2, cap_seconds=300.0)
MADE = {"versions": "python 3", "machine": "2 cores"}


def finished(seed: int, **numbers: object) -> Result:
    return {"status": "finished", "seconds": 1.0, "solved_at": 10 * seed, **numbers}


def pretend(job: Job) -> dict[int, Result]:
    """Results without learning; arms with a credit fail in various ways."""
    if job.arm == "lrp/markov":
        raise RuntimeError("the predictor burst")
    if job.arm == "lrp/accumulator":
        os._exit(3)
    if job.arm == "lrp/standard":
        time.sleep(200)
    if job.arm == "lrp/leaky":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.arm == "rrd":
        raise MemoryError
    if job.arm == "uniform":
        raise OSError(errno.ENOSPC, "No space left on device")
    return {seed: finished(seed) for seed in job.seeds}


def die_while_speaking(job: Job) -> dict[int, Result]:
    """Send a byte of a hundred that were announced, and be killed."""
    pipe = next(one for one in gc.get_objects() if isinstance(one, Connection) and one.writable)
    os.write(pipe.fileno(), struct.pack("!i", 100) + b"x")
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def run_all(suite: Suite, table: ResultTable, processes: int = 2, **options: bool) -> dict[str, Result]:
    return {job.arm: result for job, result in run_suite(suite, table, processes, pretend, **options)}
