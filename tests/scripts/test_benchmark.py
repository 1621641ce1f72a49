from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from agents.deep.presets import AgentConfig, build_agent
from agents.tabular.credits import CreditConfig
from agents.tabular.lockstep import Exploration
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.prediction.training import Predicts, TrainingConfig
from scripts.benchmark import main
from studies.proving_ground.credit_truth import CreditTruth
from studies.proving_ground.harness import (
    open_jobs,
    read_result,
    result_path,
    run_suite,
    run_suite_on_ray,
    write_result,
)
from studies.proving_ground.report import write_report
from studies.proving_ground.suites import SUITES, Suite, Task
from studies.proving_ground.trials import Job, Result, check, jobs, perform

TASK = Task("rudder_lrp/TraceBack10-v0", arms=("monte_carlo", "lrp/accumulator"), episodes=160, baseline_episodes=100)
DEEP_TASK = Task(
    "LunarLander-v3", arms=("dense", "none", "recurrent_ppo", "lrp/markov"), timesteps=2048, evaluation_episodes=2
)
SUITE = Suite((TASK,), seeds=2, cap_seconds=300.0)


def pretend(job: Job) -> dict[int, Result]:
    """Results without learning; arms with a credit fail in various ways."""
    if job.arm == "lrp/markov":
        raise RuntimeError("the predictor burst")
    if job.arm == "lrp/accumulator":
        os._exit(3)
    if job.arm == "lrp/standard":
        time.sleep(200)
    return {seed: {"status": "finished", "seconds": 1.0, "solved_at": 10 * seed} for seed in job.seeds}


def test_every_suite_names_only_what_exists() -> None:
    for suite in SUITES.values():
        for task in suite.tasks:
            check(task)


def test_seeds_of_a_baseline_share_a_job_and_those_of_a_credit_do_not() -> None:
    assert [job.seeds for job in jobs(TASK, "monte_carlo", [0, 1])] == [(0, 1)]
    assert [job.seeds for job in jobs(TASK, "lrp/accumulator", [0, 1])] == [(0,), (1,)]


def test_side_arms_run_with_fewer_seeds(tmp_path: Path) -> None:
    suite = Suite((replace(TASK, side_arms=("rrd",)),), seeds=4, cap_seconds=60.0, side_seeds=2)
    ran = [(job.arm, job.seeds) for job in open_jobs(suite, tmp_path)]
    assert ran[0] == ("monte_carlo", (0, 1, 2, 3))
    assert [seeds for arm, seeds in ran if arm == "rrd"] == [(0,), (1,)]


def test_a_baseline_and_a_credit_run_and_say_what_they_measured() -> None:
    baseline, credited = [perform(Job(TASK, arm, (0,)))[0] for arm in TASK.arms]
    assert baseline["episodes"] == 100
    assert credited["episodes"] == 160
    assert {"solved_at", "trusted_at", "on_decisive", "rank_correlation", "steps_moved_back"} <= credited.keys()
    json.dumps([baseline, credited])


def test_one_that_crashes_dies_or_meets_the_cap_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    arms = ("lrp/markov", "lrp/accumulator", "lrp/standard", "difference/markov")
    suite = Suite((replace(TASK, arms=arms),), seeds=1, cap_seconds=2.0)
    ended = {job.arm: status for job, status in run_suite(suite, tmp_path, 2, pretend)}
    assert ended == dict(zip(arms, ("crashed", "crashed", "capped", "finished"), strict=True))
    reasons = [read_result(result_path(tmp_path, suite.tasks[0], arm, 0)).get("reason") for arm in arms]
    assert "the predictor burst" in reasons[0]
    assert "ended with 3" in reasons[1]
    assert "2 s" in reasons[2]


def test_a_suite_goes_on_where_it_stopped(tmp_path: Path) -> None:
    task = replace(TASK, arms=("monte_carlo",))
    list(run_suite(Suite((task,), 2, 60.0), tmp_path, 1, pretend))
    assert open_jobs(Suite((task,), 2, 60.0), tmp_path) == []
    assert [job.seeds for job in open_jobs(Suite((task,), 4, 60.0), tmp_path)] == [(2, 3)]


def test_other_settings_do_not_take_over_old_results(tmp_path: Path) -> None:
    def path(task: Task) -> Path:
        return result_path(tmp_path, task, "monte_carlo", 0)

    assert path(TASK) != path(replace(TASK, learning_rate=0.5))
    assert path(TASK) != path(replace(TASK, exploration=Exploration(persistence=0.5)))
    assert path(TASK) == path(replace(TASK, goal=3, side_arms=("rrd",)))


def test_the_settings_of_the_credit_matter_to_agents_with_credit_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [result_path(tmp_path, TASK, arm, 0) for arm in TASK.arms]
    monkeypatch.setattr(
        "studies.proving_ground.harness.CreditConfig", partial(CreditConfig, training=TrainingConfig(updates=7))
    )
    baseline, credited = [result_path(tmp_path, TASK, arm, 0) for arm in TASK.arms]
    assert baseline == before[0]
    assert credited != before[1]


@pytest.mark.parametrize(("text", "says"), [("{", "damaged"), ("[1]", "damaged"), ('{"format": 0}', "format 0")])
def test_a_damaged_or_foreign_result_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = result_path(tmp_path, TASK, "monte_carlo", 1)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ValueError, match=says) as error:
        open_jobs(SUITE, tmp_path)
    assert str(path) in str(error.value)


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
    results = tmp_path / "results"

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
                _record(results, job, learn)
    page = write_report(tmp_path / "page.md", results, ["tabular"]).read_text()
    assert "| TraceBack10-v0 | difference/markov | 130 | 130 | 2/2 |" in page
    assert "| TraceBack10-v0 | monte_carlo | > 100 | > 100 | 0/2 |" in page
    assert "| TraceBack10-v0 | difference/markov | monte_carlo | > 0.769 |" in page  # no shorter than half of its run
    assert "| TraceBack10-v0 | lrp/markov | monte_carlo | not solved |" in page
    assert "rudder_lrp/TraceBack15-v0 lrp/markov seed 1: crashed (RuntimeError: the predictor burst)" in page
    assert (tmp_path / "figures" / "tabular_TraceBack_delay.png").stat().st_size > 5000
    assert (tmp_path / "figures" / "tabular_TraceBack_curves.png").stat().st_size > 5000


def test_a_deep_suite_runs_resumes_and_enters_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = Suite((DEEP_TASK,), seeds=1, cap_seconds=300.0)
    monkeypatch.setitem(SUITES, "deep", suite)
    for arm in DEEP_TASK.arms[1:]:
        job = Job(DEEP_TASK, arm, (0,))
        write_result(result_path(tmp_path, DEEP_TASK, arm, 0), job, 0, perform(job)[0])
    assert [job.arm for job in open_jobs(suite, tmp_path)] == ["dense"]
    dense = {"status": "finished", "final_return": 1e3, "evaluation": 7.0, "curve": [[1000, 0.0], [2048, 1e3]]}
    write_result(result_path(tmp_path, DEEP_TASK, "dense", 0), Job(DEEP_TASK, "dense", (0,)), 0, dense)
    assert open_jobs(suite, tmp_path) == []
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


def test_memory_and_credit_do_not_mix() -> None:
    with pytest.raises(ValueError, match="RecurrentPPO stands for memory in place of credit"):
        build_agent(AgentConfig(algo="RecurrentPPO", env="CartPole-v1"))


def _record(folder: Path, job: Job, learn: object) -> None:
    try:
        results = learn(job)
    except RuntimeError as error:
        results = {seed: {"status": "crashed", "reason": f"RuntimeError: {error}"} for seed in job.seeds}
    for seed, result in results.items():
        write_result(result_path(folder, job.task, job.arm, seed), job, seed, result)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`")
def test_ray_gives_what_local_processes_give(tmp_path: Path) -> None:
    arms = ("monte_carlo", "lrp/accumulator")
    suite = Suite((replace(TASK, arms=arms), replace(TASK, arms=arms[1:], episodes=5)), seeds=2, cap_seconds=300.0)
    ended = {"local": list(run_suite(suite, tmp_path / "local", 2))}
    ended["ray"] = list(run_suite_on_ray(suite, tmp_path / "ray"))
    assert open_jobs(suite, tmp_path / "ray") == []
    for runs in ended.values():
        outcomes = sorted((job.task.episodes, job.arm, status) for job, status in runs)
        assert outcomes == [(5, "lrp/accumulator", "crashed")] * 2 + [
            *[(160, "lrp/accumulator", "finished")] * 2,
            (160, "monte_carlo", "finished"),
        ]
    for path in (tmp_path / "local").rglob("*.json"):
        other = tmp_path / "ray" / path.relative_to(tmp_path / "local")
        assert read_result(path) | {"seconds": 0} == read_result(other) | {"seconds": 0}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`")
def test_ray_gives_up_a_run_at_the_cap(tmp_path: Path) -> None:
    suite = Suite((replace(TASK, arms=("lrp/accumulator",), episodes=10**6),), seeds=1, cap_seconds=1.0)
    assert [status for _, status in run_suite_on_ray(suite, tmp_path)] == ["capped"]


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match=r"rudder-lrp\[ray\]"):
        list(run_suite_on_ray(SUITE, tmp_path))
