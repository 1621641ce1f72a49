from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest
import torch

from studies.provenance import FIELDS
from studies.proving_ground.harness import claimed, open_jobs, record, run_suite, run_suite_on_ray
from studies.proving_ground.tasks import Suite
from studies.proving_ground.trials import Job, Result
from studies.proving_ground.worker import Status, failed, guarded
from studies.results import ResultTable
from tests.studies.pretending import MADE, SUITE, TASK, die_while_speaking, finished, pretend, run_all


@pytest.fixture
def table(tmp_path: Path) -> ResultTable:
    return ResultTable(tmp_path / "tabular.jsonl")


def test_side_arms_run_with_fewer_seeds(table: ResultTable) -> None:
    suite = Suite((replace(TASK, side_arms=("rrd",)),), seeds=4, cap_seconds=60.0, side_seeds=2)
    ran = [(job.arm, job.seeds) for job in open_jobs(suite, table)]
    assert ran[0] == ("monte_carlo", (0, 1, 2, 3))
    assert [seeds for arm, seeds in ran if arm == "rrd"] == [(0,), (1,)]


def test_what_crashes_or_meets_the_cap_is_recorded_and_the_others_go_on(table: ResultTable) -> None:
    arms = ("lrp/markov", "lrp/standard", "difference/markov")
    suite = Suite((replace(TASK, arms=arms),), seeds=1, cap_seconds=2.0)
    ended = run_all(suite, table)
    assert [ended[arm]["status"] for arm in arms] == ["crashed", "capped", "finished"]
    rows = {row["arm"]: row for row in table.rows()}
    assert rows.keys() == set(arms)
    assert rows["lrp/markov"]["reason"] == "RuntimeError: the predictor burst"
    assert 'File "tests/studies/pretending.py", line' in rows["lrp/markov"]["traceback"]
    assert "2 s" in rows["lrp/standard"]["reason"]
    assert all(row.keys() >= set(FIELDS) for row in rows.values())
    assert open_jobs(suite, table) == []
    assert [job.arm for job in open_jobs(suite, table, retry=True)] == ["lrp/markov", "lrp/standard"]


def test_what_memory_disk_or_machine_failed_is_told_apart_and_runs_again(table: ResultTable) -> None:
    arms = ("lrp/accumulator", "lrp/leaky", "rrd", "uniform")
    suite = Suite((replace(TASK, arms=arms),), seeds=1, cap_seconds=60.0)
    ended = run_all(suite, table)
    assert [ended[arm]["status"] for arm in arms] == ["lost", "lost", "out of memory", "disk full"]
    assert "ended with 3" in ended["lrp/accumulator"]["reason"]
    assert "signal 9, as the system does when memory runs out" in ended["lrp/leaky"]["reason"]
    assert table.rows() == []
    assert [job.arm for job in open_jobs(suite, table)] == list(arms)


def test_two_threads_never_ask_after_one_process_at_once(table: ResultTable, monkeypatch) -> None:
    """Both would see that it has ended, and one of them find that the other has read how."""
    ready, asking, at_once = connection.wait, Counter[int](), []

    def slow(asked: list[Any], timeout: float | None = None) -> list[Any]:
        ends = [one for one in asked if isinstance(one, int)]
        asking.update(ends)
        found = ready(asked, timeout)
        time.sleep(0.05 if found else 0.0)
        at_once.extend(one for one in ends if asking[one] > 1)
        asking.subtract(ends)
        return found

    monkeypatch.setattr(connection, "wait", slow)
    suite = Suite((replace(TASK, arms=("lrp/accumulator",)),), seeds=16, cap_seconds=60.0)
    reasons = [result["reason"] for _, result in run_suite(suite, table, 4, pretend)]
    assert reasons == ["the process ended with 3"] * 16
    assert at_once == []


def test_a_process_that_was_killed_while_it_told_its_results_is_lost(table: ResultTable) -> None:
    suite = Suite((replace(TASK, arms=("rrd",)),), seeds=1, cap_seconds=60.0)
    (_, result), *_ = run_suite(suite, table, 1, die_while_speaking)
    assert (result["status"], "signal 9" in result["reason"]) == ("lost", True)


def caused_by(error: Exception) -> Exception:
    """As PyTorch raises it where a file could not be written."""
    try:
        raise RuntimeError("unexpected pos 64 vs 0") from error
    except RuntimeError as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), "out of memory"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk full"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory"),
        (caused_by(MemoryError()), "out of memory"),
        (caused_by(OSError(errno.ENOSPC, "No space left on device")), "disk full"),
        (OSError(errno.ENOENT, "No such file"), "crashed"),
    ],
)
def test_errors_of_the_machine_are_no_crashes(error: Exception, status: str) -> None:
    assert failed(Job(TASK, "rrd", (0, 1)), error)[1]["status"] == status


def test_what_is_stopped_is_not_recorded_and_runs_again(table: ResultTable) -> None:
    suite = Suite((replace(TASK, arms=("difference/markov", "lrp/standard")),), seeds=2, cap_seconds=300.0)
    ended = run_suite(suite, table, 2, pretend)
    done = [next(ended) for _ in range(2)]
    ended.close()
    assert {job.arm for job, _ in done} == {"difference/markov"}
    assert [row["arm"] for row in table.rows()] == ["difference/markov"] * 2
    assert [job.arm for job in open_jobs(suite, table)] == ["lrp/standard"] * 2


def test_a_suite_goes_on_where_it_stopped(table: ResultTable) -> None:
    task = replace(TASK, arms=("monte_carlo",))
    run_all(Suite((task,), 2, 60.0), table, 1)
    assert open_jobs(Suite((task,), 2, 60.0), table) == []
    assert [job.seeds for job in open_jobs(Suite((task,), 4, 60.0), table)] == [(2, 3)]


def test_two_harnesses_on_one_folder_never_run_the_same_trial(table: ResultTable) -> None:
    job = Job(TASK, "monte_carlo", (0, 1, 2))
    record(table, replace(job, seeds=(2,)), {2: finished(2) | MADE})
    with claimed(table, replace(job, seeds=(1,))) as first, claimed(table, job) as second:
        assert (first.seeds, second.seeds) == ((1,), (0,))
        suite = Suite((replace(TASK, arms=("monte_carlo",)),), 2, 60.0)
        (ended,) = run_suite(suite, table, 1, pretend)
        assert ended[1]["status"] == Status.ELSEWHERE
    assert [row["seed"] for row in table.rows()] == [2]
    with claimed(table, job) as after:
        assert after.seeds == (0, 1)


def test_a_claim_ends_with_a_killed_process(table: ResultTable) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.studies.test_harness import *\n"
        "with claimed(ResultTable(Path(sys.argv[1])), Job(TASK, 'monte_carlo', (0,))):\n"
        "    print('claimed', flush=True); time.sleep(100)"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code, str(table.path)], cwd=root, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"claimed\n"
    job = Job(TASK, "monte_carlo", (0,))
    with claimed(table, job) as ours:
        assert ours.seeds == ()
    process.kill()
    process.communicate()
    with claimed(table, job) as ours:
        assert ours.seeds == (0,)


def test_a_run_ends_with_a_killed_harness(tmp_path: Path) -> None:
    code = (
        "import sys; from functools import partial; from tests.studies.test_harness import *\n"
        "list(guarded(Job(TASK, 'monte_carlo', (0,)), 600.0, partial(wait, Path(sys.argv[1]))))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "runs")], cwd=Path(__file__).parents[2])
    while not (tmp_path / "runs").is_fifo():
        assert process.poll() is None
        time.sleep(0.05)
    with (tmp_path / "runs").open("rb") as held_open:
        process.kill()
        process.wait()
        assert held_open.read() == b"", "the last one that could write to it is gone"


def wait(fifo: Path, job: Job) -> dict[int, Result]:
    """Holds a pipe open for as long as its process lives."""
    os.mkfifo(fifo)
    with fifo.open("wb"):
        time.sleep(600)
    return {}


def test_a_result_that_cannot_be_sent_is_a_crash_with_its_traceback() -> None:
    result = guarded(Job(TASK, "monte_carlo", (0,)), 600.0, unsendable)[0]
    assert result["status"] == "crashed"
    assert "pickle" in result["reason"]


def unsendable(job: Job) -> dict[int, Result]:
    return {seed: {"status": lambda: None} for seed in job.seeds}


def test_a_full_disk_of_the_harness_is_named_and_the_run_repeated(table: ResultTable, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    suite = Suite((replace(TASK, arms=("difference/markov",)),), seeds=1, cap_seconds=60.0)
    monkeypatch.setattr(ResultTable, "add", full)
    assert run_all(suite, table)["difference/markov"]["status"] == "disk full"
    monkeypatch.undo()
    assert [job.arm for job in open_jobs(suite, table)] == ["difference/markov"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`")
def test_ray_gives_what_local_processes_give(tmp_path: Path) -> None:
    arms = ("monte_carlo", "lrp/accumulator")
    suite = Suite((replace(TASK, arms=arms), replace(TASK, arms=arms[1:], episodes=5)), seeds=2, cap_seconds=300.0)
    tables = {name: ResultTable(tmp_path / f"{name}.jsonl") for name in ("local", "ray")}
    ended = {"local": list(run_suite(suite, tables["local"], 2)), "ray": list(run_suite_on_ray(suite, tables["ray"]))}
    assert open_jobs(suite, tables["ray"]) == []
    for runs in ended.values():
        outcomes = sorted((job.task.episodes, job.arm, result["status"]) for job, result in runs)
        assert outcomes == [(5, "lrp/accumulator", "crashed")] * 2 + [
            *[(160, "lrp/accumulator", "finished")] * 2,
            (160, "monte_carlo", "finished"),
        ]
    local, ray = ([row | {"seconds": 0} for row in table.rows()] for table in tables.values())
    assert local == ray


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`")
def test_ray_gives_up_a_run_at_the_cap(table: ResultTable) -> None:
    suite = Suite((replace(TASK, arms=("lrp/accumulator",), episodes=10**6),), seeds=1, cap_seconds=1.0)
    assert [result["status"] for _, result in run_suite_on_ray(suite, table)] == ["capped"]


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(table: ResultTable) -> None:
    with pytest.raises(ImportError, match=r"rudder-lrp\[ray\]"):
        list(run_suite_on_ray(SUITE, table))
