from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from agents.deep.presets import AgentConfig
from agents.tabular.credits import CreditConfig
from agents.tabular.lockstep import Exploration
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig
from rudder_lrp.redistribution.config import CreditConfig as CreditOptions
from scripts.benchmark import main
from studies.provenance import FIELDS
from studies.proving_ground.credit_truth import CreditTruth
from studies.proving_ground.harness import claimed, open_jobs, record, run_suite, run_suite_on_ray
from studies.proving_ground.report import collect, write_report
from studies.proving_ground.settings import KnownSettings, settings_of
from studies.proving_ground.suites import SUITES, Suite, Task
from studies.proving_ground.trials import Job, Result, check, jobs, perform
from studies.proving_ground.worker import Status, failed, guarded
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


@pytest.fixture
def table(tmp_path: Path) -> ResultTable:
    return ResultTable(tmp_path / "tabular.jsonl")


def run_all(suite: Suite, table: ResultTable, processes: int = 2, **options: bool) -> dict[str, Result]:
    return {job.arm: result for job, result in run_suite(suite, table, processes, pretend, **options)}


def test_every_suite_names_only_what_exists() -> None:
    for suite in SUITES.values():
        for task in suite.tasks:
            check(task)


def test_seeds_of_a_baseline_share_a_job_and_those_of_a_credit_do_not() -> None:
    assert [job.seeds for job in jobs(TASK, "monte_carlo", [0, 1])] == [(0, 1)]
    assert [job.seeds for job in jobs(TASK, "lrp/accumulator", [0, 1])] == [(0,), (1,)]


def test_side_arms_run_with_fewer_seeds(table: ResultTable) -> None:
    suite = Suite((replace(TASK, side_arms=("rrd",)),), seeds=4, cap_seconds=60.0, side_seeds=2)
    ran = [(job.arm, job.seeds) for job in open_jobs(suite, table)]
    assert ran[0] == ("monte_carlo", (0, 1, 2, 3))
    assert [seeds for arm, seeds in ran if arm == "rrd"] == [(0,), (1,)]


def test_a_baseline_and_a_credit_run_and_say_what_they_measured() -> None:
    baseline, credited = [perform(Job(TASK, arm, (0,)))[0] for arm in TASK.arms]
    assert baseline["episodes"] == 100
    assert credited["episodes"] == 160
    assert {"solved_at", "trusted_at", "on_decisive", "rank_correlation", "steps_moved_back"} <= credited.keys()
    json.dumps([baseline, credited])


def test_what_crashes_or_meets_the_cap_is_recorded_and_the_others_go_on(table: ResultTable) -> None:
    arms = ("lrp/markov", "lrp/standard", "difference/markov")
    suite = Suite((replace(TASK, arms=arms),), seeds=1, cap_seconds=2.0)
    ended = run_all(suite, table)
    assert [ended[arm]["status"] for arm in arms] == ["crashed", "capped", "finished"]
    rows = {row["arm"]: row for row in table.rows()}
    assert rows.keys() == set(arms)
    assert rows["lrp/markov"]["reason"] == "RuntimeError: the predictor burst"
    assert 'File "tests/scripts/test_benchmark.py", line' in rows["lrp/markov"]["traceback"]
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


def test_ctrl_c_ends_a_benchmark_in_one_sentence_and_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/benchmark.py", "--results", str(tmp_path), "--tasks", "Choice40"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert b"finished" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert said.decode().strip().endswith("the same command goes on")
    assert "Traceback" not in said.decode()
    assert {row["status"] for row in ResultTable(tmp_path / "quick.jsonl").rows()} == {"finished"}
    deadline = time.monotonic() + 240
    while _has_members(process.pid):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.1)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


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
        "import sys; from pathlib import Path; from tests.scripts.test_benchmark import *\n"
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
        "import sys; from pathlib import Path; from tests.scripts.test_benchmark import *\n"
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


def test_other_settings_do_not_take_over_old_results() -> None:
    def settings(task: Task, arm: str = "monte_carlo") -> dict[str, object]:
        return settings_of(task, arm)

    assert settings(TASK) != settings(replace(TASK, learning_rate=0.5))
    assert settings(TASK) != settings(replace(TASK, exploration=Exploration(persistence=0.5)))
    assert settings(TASK) == settings(replace(TASK, goal=3, side_arms=("rrd",)))
    other = replace(DEEP_TASK, agent=AgentConfig(redistribution=CreditOptions(training=TrainingConfig(updates=7))))
    assert settings(DEEP_TASK, "lrp/markov") != settings(other, "lrp/markov")
    assert settings(DEEP_TASK, "none") == settings(other, "none")
    assert settings(DEEP_TASK, "uniform") == settings(other, "uniform")
    assert settings(DEEP_TASK, "rrd") != settings(DEEP_TASK, "rrd/published")
    watched = replace(DEEP_TASK, evaluate_every=500)
    known = KnownSettings({"watched": settings(watched, "none")})
    assert (known.today(watched, "none"), known.today(DEEP_TASK, "none") == "watched") == ("watched", False)


def test_the_settings_of_the_credit_matter_to_agents_with_credit_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [settings_of(TASK, arm) for arm in TASK.arms]
    monkeypatch.setattr(
        "studies.proving_ground.settings.CreditConfig", partial(CreditConfig, training=TrainingConfig(updates=7))
    )
    baseline, credited = [settings_of(TASK, arm) for arm in TASK.arms]
    assert baseline == before[0]
    assert credited != before[1]


def test_a_new_option_at_its_default_leaves_old_runs_alone_and_a_changed_default_does_not() -> None:
    now = settings_of(DEEP_TASK, "lrp/markov")
    then = json.loads(json.dumps(now))
    del then["redistribution"]["training"]["weight_decay"]
    known = KnownSettings({"then": then})
    assert known.today(DEEP_TASK, "lrp/markov") == "then"
    other = AgentConfig(redistribution=CreditOptions(training=TrainingConfig(weight_decay=0.5)))
    assert known.today(replace(DEEP_TASK, agent=other), "lrp/markov") != "then"
    then["redistribution"]["training"]["updates"] += 1
    assert known.today(DEEP_TASK, "lrp/markov") != "then"
    then["redistribution"]["training"]["updates"] -= 1
    then["forgotten"] = 1
    assert known.today(DEEP_TASK, "lrp/markov") != "then"


def test_a_report_never_mixes_settings_and_says_which_are_not_todays(
    table: ResultTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(TASK, arms=("monte_carlo",))
    suite = Suite((task,), seeds=2, cap_seconds=60.0)
    monkeypatch.setitem(SUITES, "tabular", suite)
    before = replace(task, learning_rate=0.5)

    def shown() -> list[Result]:
        return collect(suite, task, table.rows(), KnownSettings.beside(table))["monte_carlo"]

    record(table, Job(before, "monte_carlo", (0, 1)), {seed: finished(7) | MADE for seed in (0, 1)})
    record(table, Job(task, "monte_carlo", (0,)), {0: finished(8) | MADE})
    assert [run["solved_at"] for run in shown()] == [70, 70]
    page = table.path.with_suffix(".md")
    assert "before: TraceBack10-v0 monte_carlo." in write_report(page, page.parent, ["tabular"]).read_text()
    record(table, Job(task, "monte_carlo", (1,)), {1: finished(8) | MADE})
    assert [run["solved_at"] for run in shown()] == [80, 80]
    assert "other settings" not in write_report(page, page.parent, ["tabular"]).read_text()


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (Task("rudder_lrp/Nowhere-v0"), "no environment 'rudder_lrp/Nowhere-v0'"),
        (Task(TASK.env, arms=("luck",)), "no arm 'luck'"),
        (Task(TASK.env, arms=("lrp/round",)), "no arm 'lrp/round'"),
        (Task(TASK.env, arms=("dense",)), "no arm 'dense'"),
        (Task(TASK.env, arms=("lrp/leaky/share",)), "no arm 'lrp/leaky/share'"),
        (replace(DEEP_TASK, arms=("lrp/leaky/most",)), "no arm 'lrp/leaky/most'"),
        (replace(DEEP_TASK, arms=("lrp/leaky/-0.02",)), "no arm 'lrp/leaky/-0.02'"),
        (replace(DEEP_TASK, arms=("lrp/leaky/share/0.02",)), "no arm 'lrp/leaky/share/0.02'"),
    ],
)
def test_an_environment_or_arm_that_does_not_exist_is_named(task: Task, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check(task)


def test_an_unknown_suite_ends_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--suite", "best"])
    with pytest.raises(SystemExit, match=r"error: no suite 'best'; choose one of quick, tabular"):
        main()


def test_a_selection_that_leaves_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--tasks", "Nowhere"])
    with pytest.raises(SystemExit, match="no task and arm of suite quick match 'Nowhere'"):
        main()


def test_the_report_shows_losses_and_failures_like_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = ("monte_carlo", "difference/markov", "lrp/markov")
    tasks = tuple(
        replace(TASK, env=f"rudder_lrp/TraceBack{delay}-v0", arms=arms, goal=852, episodes=200) for delay in (10, 15)
    )
    suite = Suite(tasks, seeds=2, cap_seconds=60.0)
    monkeypatch.setitem(SUITES, "tabular", suite)
    table = ResultTable(tmp_path / "tabular.jsonl")

    def learn(job: Job) -> dict[int, Result]:
        if job.arm == "lrp/markov":
            raise RuntimeError("the predictor burst")
        solved = 130 if "/" in job.arm else None
        curve = [(10, 0.0), (100, 1.0)]
        one = {"status": "finished", "seconds": 1.0, "solved_at": solved, "episodes": 200, "final_share": 0.5}
        return {seed: {**one, "curve": curve, "on_decisive": 0.9} for seed in job.seeds}

    for task in tasks:
        for arm in arms:
            for job in jobs(task, arm, [0, 1]):
                _record(table, job, learn)
    page = write_report(tmp_path / "page.md", tmp_path, ["tabular"]).read_text()
    assert "| TraceBack10-v0 | difference/markov | 130 | 130 | 2/2 |" in page
    assert "| TraceBack10-v0 | monte_carlo | > 100 | > 100 | 0/2 |" in page
    assert "| TraceBack10-v0 | difference/markov | monte_carlo | > 0.769 |" in page  # no shorter than half of its run
    assert "| TraceBack10-v0 | lrp/markov | monte_carlo | not solved |" in page
    assert "rudder_lrp/TraceBack15-v0 lrp/markov seed 1: crashed (RuntimeError: the predictor burst)" in page
    assert "in learn" in page.split("### Runs that failed")[1]
    assert "Versions: python 3 (12 runs)" in page
    assert (tmp_path / "figures" / "tabular_TraceBack_delay.png").stat().st_size > 5000
    assert (tmp_path / "figures" / "tabular_TraceBack_curves.png").stat().st_size > 5000


def test_a_deep_suite_runs_resumes_and_enters_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, table = Suite((DEEP_TASK,), seeds=1, cap_seconds=300.0), ResultTable(tmp_path / "deep.jsonl")
    monkeypatch.setitem(SUITES, "deep", suite)
    for arm in DEEP_TASK.arms[1:]:
        job = Job(DEEP_TASK, arm, (0,))
        record(table, job, {0: perform(job)[0] | MADE})
    assert [job.arm for job in open_jobs(suite, table)] == ["dense"]
    dense = {"status": "finished", "final_return": 1e3, "evaluation": 7.0, "curve": [[1000, 0.0], [2048, 1e3]]}
    record(table, Job(DEEP_TASK, "dense", (0,)), {0: dense | MADE})
    assert open_jobs(suite, table) == []
    page = write_report(tmp_path / "page.md", tmp_path, ["deep"]).read_text()
    assert "| LunarLander-v3 | dense | 1 | 1000.0 [1000.0, 1000.0] | 1.00 | 7.0 [7.0, 7.0] | 1.00 |" in page
    assert "| LunarLander-v3 | recurrent_ppo | 1 |" in page
    assert "Credit of deep agents" not in page  # on LunarLander nobody knows the true credit
    assert (tmp_path / "figures" / "deep_LunarLander-v3.png").stat().st_size > 5000


LARGEST = {"largest_on_decisive": 0.6, "true_largest_on_decisive": 0.7}


@pytest.mark.parametrize(
    ("arm", "trust", "measured"), [("lrp/leaky", 0.5, True), ("lrp/leaky", 0.0, False), ("none", 0.5, False)]
)
def test_the_credit_of_an_agent_on_key_to_door_is_measured_if_it_is_trusted(
    arm: str, trust: float, measured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = CreditTruth(0.5, 1.0, 0.9, 0.0, 1.0, 1.0, on_decisive=0.3, true_on_decisive=0.4, **LARGEST)
    monkeypatch.setattr("studies.proving_ground.trials.credit_truth", lambda model, redistributor: truth)
    monkeypatch.setattr(OnlinePredictor, "q", property(lambda self: trust))
    task = Task("rudder_lrp/KeyToDoor-v0", arms=(arm,), timesteps=2048, evaluation_episodes=1)
    result = perform(Job(task, arm, (0,)))[0]
    assert ("explained_variance" in result, result.get("on_decisive")) == (measured, 0.3 if measured else None)


def test_the_third_part_of_a_deep_arm_says_how_the_predictor_is_trained_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[AgentConfig] = []

    def remember(config: AgentConfig, *arguments: object, **options: object) -> None:
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("agents.deep.runs.run", remember)
    for arm in ("lrp/accumulator", "lrp/accumulator/share", "lrp/accumulator/0.5"):
        with pytest.raises(KeyboardInterrupt):
            perform(Job(DEEP_TASK, arm, (0,)))
    plain, *_ = asked
    trainings = [config.redistribution.training for config in asked]
    assert trainings == [
        TrainingConfig(),
        TrainingConfig(predicts=Predicts.SHARE),
        TrainingConfig(variation_weight=0.5),
    ]
    for config in asked:
        assert replace(config, redistribution=plain.redistribution) == plain


def _record(table: ResultTable, job: Job, learn: Callable[[Job], dict[int, Result]]) -> None:
    try:
        results = learn(job)
    except RuntimeError as error:
        results = failed(job, error)
    record(table, job, {seed: result | MADE for seed, result in results.items()})


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
