from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents.deep.presets import AgentConfig
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.prediction.training_config import Predicts, TrainingConfig
from scripts.benchmark import Options, main, selected
from studies.proving_ground.credit_truth import CreditTruth
from studies.proving_ground.harness import open_jobs, record
from studies.proving_ground.report import write_report
from studies.proving_ground.suites import SUITES
from studies.proving_ground.tasks import Suite, Task
from studies.proving_ground.trials import Job, Result, check, jobs, perform
from studies.proving_ground.worker import failed
from studies.results import ResultTable
from tests.studies.pretending import DEEP_TASK, MADE, TASK


def test_every_suite_names_only_what_exists() -> None:
    for suite in SUITES.values():
        for task in suite.tasks:
            check(task)


def test_seeds_of_a_baseline_share_a_job_and_those_of_a_credit_do_not() -> None:
    assert [job.seeds for job in jobs(TASK, "monte_carlo", [0, 1])] == [(0, 1)]
    assert [job.seeds for job in jobs(TASK, "lrp/accumulator", [0, 1])] == [(0,), (1,)]


def test_a_baseline_and_a_credit_run_and_say_what_they_measured() -> None:
    baseline, credited = [perform(Job(TASK, arm, (0,)))[0] for arm in TASK.arms]
    assert baseline["episodes"] == 100
    assert credited["episodes"] == 160
    assert {"solved_at", "trusted_at", "on_decisive", "rank_correlation", "steps_moved_back"} <= credited.keys()
    json.dumps([baseline, credited])


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


def test_arms_are_selected_by_what_their_names_contain_and_do_not() -> None:
    asked = Options(suite="episodic_mujoco", tasks="Hopper", arms="rrd")
    (both,), (one,) = selected(asked).tasks, selected(replace(asked, without="published")).tasks
    assert (both.arms, both.side_arms) == (("rrd",), ("rrd/published",))
    assert (one.arms, one.side_arms) == (("rrd",), ())


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
