"""What a person reads while runs go on and when they have ended, word for word."""

from __future__ import annotations

import io
import json
import os
import platform
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.progress_bar import ProgressBar as Bar
from stable_baselines3 import PPO

from rudder_lrp.cli import compare, explain_model, live, progress
from rudder_lrp.cli.agent import ON_POLICY, AgentConfig, Delay
from rudder_lrp.cli.compare import WITH, WITHOUT, Compare
from rudder_lrp.cli.environments import describe_delay
from rudder_lrp.cli.episodes import TrueReturns
from rudder_lrp.cli.explain import _print_table
from rudder_lrp.cli.main import _take_level
from rudder_lrp.cli.tensorboard import flat_settings
from rudder_lrp.cli.versions import environment_versions, processor
from rudder_lrp.cli.workers import Job, News, Record
from rudder_lrp.episodes.timeline import Timeline
from rudder_lrp.viewing.comparison import Verdict, draw_curves
from rudder_lrp.viewing.statistics import Interval
from tests.cli.running import STEPS
from tests.sb3.play import trusted, vec_env

RECORD = Record(1.23456, 2.6, 5.0, [(64, 1.0)], {"most": 0.25})
JOB = Job(WITH, AgentConfig(env=STEPS, seed=3), 0.99, 1000, Path("runs/a"))
OTHER = replace(JOB, arm=WITHOUT, discount=1.0)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a console, wide enough and no terminal, was given."""
    told = io.StringIO()
    console = Console(file=told, width=120)
    monkeypatch.setattr(live, "console", console)
    monkeypatch.setattr(progress, "console", console)
    return told


def columns(text: str) -> list[list[str]]:
    """The cells of each line, which two spaces or more keep apart."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines() if line.strip()]


def test_the_table_of_a_comparison_has_both_arms_run_by_run(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    runs = {
        WITH: {0: RECORD, 1: replace(RECORD, final_return=200000.0, seconds=4.6, outcomes={"most": 0.75})},
        WITHOUT: {0: replace(RECORD, final_return=-0.5), 1: replace(RECORD, final_return=3.0)},
    }
    verdict = Verdict(Interval(1.25, 0.96, 2.0), Interval(-3.0, -4.44, 0.0), 0.875, separate=False)
    options = Compare(AgentConfig(env=STEPS))
    compare._print_table(options, runs, {WITH: 0.99, WITHOUT: 1.0}, verdict)
    told, header, ours, theirs, odds = columns(capsys.readouterr().out)
    assert told == ["true return of the last 100 training episodes, interquartile mean [95 %]"]
    assert header == ["discount", "seed by seed", "mean", "mostly one", "s"]
    assert ours == [WITH, "0.99", "1.235 2e+05", "1.2 [1.0, 2.0]", "0.50", "4"]
    assert theirs == [WITHOUT, "1", "-0.5 3", "-3.0 [-4.4, 0.0]", "0.25", "3"]
    assert odds == ["probability that a run with credit is better: 0.88"]


def test_of_too_few_runs_a_comparison_says_nothing_but_what_they_came_to(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    compare._print_table(Compare(AgentConfig(env=STEPS)), {WITH: {0: RECORD}, WITHOUT: {}}, {WITH: 1, WITHOUT: 1}, None)
    _, _, ours, theirs = columns(capsys.readouterr().out)
    assert ours == [WITH, "1", "1.235", "-", "0.25", "3"]
    assert theirs == [WITHOUT, "1", "-", "-", "-"]


def test_a_run_that_ends_is_a_line_and_leaves_the_table(written, monkeypatch) -> None:
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: 100.0))
    table = live.LiveTable(total=2000)
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: 110.0))
    table.tell(News(JOB, steps=500, recent_return=1.234))
    table.tell(News(OTHER, steps=100, recent_return=-2.0))
    running = table._table()
    assert [column.header for column in running.columns] == ["running", "steps", "", "return"]
    assert [column.justify for column in running.columns] == ["left", "right", "left", "right"]
    names, steps, bars, returns = (list(column.cells) for column in running.columns)
    assert names == [JOB.label, OTHER.label, "all"]
    assert steps == ["500", "100", "600"]
    assert [(bar.completed, bar.total, bar.width) for bar in bars if isinstance(bar, Bar)] == [
        (500, 1000, 30),
        (100, 1000, 30),
        (600, 2000, 30),
    ]
    assert returns == ["1.23", "-2.00", "10 s, 23 s to go"]
    table.tell(News(JOB, record=RECORD))
    table.tell(News(OTHER, died=True))
    assert written.getvalue().splitlines() == [f"  {JOB.label}: return 1.23, 3 s", f"  {OTHER.label}: died"]
    assert [list(column.cells) for column in table._table().columns][:2] == [["all"], ["2,000"]]


def test_nothing_is_said_of_the_time_left_before_the_first_step() -> None:
    assert live.LiveTable(total=10)._left(0) == ""


@pytest.mark.parametrize("credited", [True, False])
def test_the_bar_of_a_run_says_how_far_it_is_and_how_far_its_credit_is_trusted(credited, written) -> None:
    env = trusted(vec_env(2), q=0.4) if credited else vec_env(2)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, n_epochs=1, policy_kwargs={"net_arch": [4]})
    model.learn(40, callback=progress.ProgressBar(TrueReturns(), total=40))
    last = written.getvalue().splitlines()[-1]
    assert last.startswith("return ")
    assert ("trust 40%" in last) == credited
    assert "━" in last
    assert "40/40" in last
    assert last.count("0:00:") == 2, "the time that passed, and the time that is left"


def test_a_curve_is_the_mean_of_the_latest_returns_at_even_steps() -> None:
    returns = TrueReturns()
    returns.steps, returns.returns = [30, 60, 70, 100], [1.0, 2.0, 3.0, 4.0]
    assert returns.curve(100, points=4) == [(50, 1.0), (75, 2.0), (100, 2.5)]
    returns.steps, returns.returns = list(range(1, 201)), [0.0] * 100 + [1.0] * 100
    assert returns.curve(200, points=2) == [(100, 0.0), (200, 1.0)]


def test_settings_are_named_by_the_config_that_they_are_in() -> None:
    named = dict(flat_settings(AgentConfig(env=STEPS, n_envs=3)))
    assert (named["env"], named["n_envs"], named["credit"]) == (STEPS, 3, "lrp")
    assert named["redistribution.training.updates"] == ON_POLICY.training.updates
    assert not [name for name, value in named.items() if not isinstance(value, int | float | str)]


@pytest.mark.parametrize(
    ("env", "delay", "words"),
    [
        (STEPS, 4, "paid every 4 steps"),
        (STEPS, Delay.END, "all paid at the last step"),
        (STEPS, Delay.AUTO, "all paid at the last step"),
        (STEPS, Delay.NONE, "paid as the environment pays"),
        ("rudder_lrp/Harvest-v0", Delay.AUTO, "paid late by its own rules"),
    ],
)
def test_when_the_reward_is_paid_is_said_in_words(env, delay, words) -> None:
    assert describe_delay(env, delay) == words


@pytest.mark.parametrize("level", [["--log-level", "info"], ["--log-level=info"]])
def test_the_log_level_may_stand_anywhere_and_takes_no_other_argument_along(level) -> None:
    arguments = ["train", *level, "--env", "CartPole-v1"]
    assert _take_level(arguments) == "info"
    assert arguments == ["train", "--env", "CartPole-v1"]


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="only Linux tells so")
def test_the_machine_is_named_by_its_processor() -> None:
    told = Path("/proc/cpuinfo").read_text()
    named = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    assert processor() == (named[0] if named else platform.machine())
    assert environment_versions()["machine"] == f"{os.cpu_count()} cores, {processor()}"


def test_all_runs_go_on_side_by_side_as_asked_for(monkeypatch) -> None:
    asked, totals = [], []

    class Watched(live.LiveTable):
        def __init__(self, total: int) -> None:
            totals.append(total)
            super().__init__(total)

    def run_all(jobs, processes):
        asked.append((list(jobs), processes))
        return iter(())

    monkeypatch.setattr(compare, "run_all", run_all)
    monkeypatch.setattr(compare, "LiveTable", Watched)
    assert compare._run([JOB, OTHER], Compare(processes=3)) == {}
    assert asked == [([JOB, OTHER], 3)]
    assert totals == [2000]


ENDED = {
    arm: {seed: replace(RECORD, final_return=level + seed) for seed in range(5)}
    for arm, level in ((WITH, 10.0), (WITHOUT, 0.0))
}


@pytest.fixture
def reported(tmp_path, monkeypatch, capsys) -> tuple[Path, list[str], str]:
    """The folder of a comparison, the titles of what was drawn, and what was printed."""
    monkeypatch.setenv("COLUMNS", "150")
    results = {
        replace(JOB, arm=arm, config=replace(JOB.config, seed=seed)): run
        for arm, runs in ENDED.items()
        for seed, run in runs.items()
    }
    tuning = {replace(OTHER, discount=discount): replace(RECORD, final_return=discount) for discount in (0.9, 1.0)}
    titles: list[str] = []
    monkeypatch.setattr(
        compare, "draw_curves", lambda of, title, path: (titles.append(title), draw_curves(of, title, path))
    )
    options = Compare(AgentConfig(env=STEPS), timesteps=64)
    compare._report(options, tmp_path, {WITH: 0.99, WITHOUT: 1.0}, tuning, results)
    return tmp_path, titles, capsys.readouterr().out


def test_a_comparison_writes_down_what_it_says(reported) -> None:
    folder, _, out = reported
    text = (folder / "comparison.json").read_text()
    assert text.startswith('{\n "task": ')
    record = json.loads(text)
    assert record.pop("sentence") in out
    assert record.pop("versions").keys() >= {"python", "torch", "machine"}
    assert record.pop("verdict").keys() == {"ours", "theirs", "probability", "separate"}
    runs = {arm: {seed: asdict(run) for seed, run in of_arm.items()} for arm, of_arm in ENDED.items()}
    assert record == {
        "task": STEPS,
        "timesteps": 64,
        "discounts": {WITH: 0.99, WITHOUT: 1.0},
        "tuning": {WITH: {}, WITHOUT: {"0.9": 0.9, "1.0": 1.0}},
        "runs": json.loads(json.dumps(runs)),
        "processor_seconds": 60.0,
    }


def test_a_comparison_ends_with_where_its_picture_numbers_and_curves_are(reported) -> None:
    folder, titles, out = reported
    assert titles == [f"{STEPS}, all paid at the last step: PPO"]
    picture, numbers, board = out.splitlines()[-3:]
    assert picture == f"picture     {folder / 'curves.png'}"
    assert numbers == f"numbers     {folder / 'comparison.json'}"
    assert board == f"TensorBoard tensorboard --logdir {folder}"
    assert (folder / "curves.png").stat().st_size > 1000
    assert list((folder / "comparison").glob("events*"))


def test_where_nothing_says_how_sure_credit_is_no_error_bar_is_told(capsys) -> None:
    _print_table(Timeline(np.zeros(2), np.array([3.0, -3.0]), np.zeros(2)), 1)
    assert capsys.readouterr().out.splitlines()[1].split() == ["0", "+3.000", "-", "+0.000", "0.000"]


def test_of_inputs_that_count_alike_the_first_come_first() -> None:
    table = list(explain_model._table(np.arange(40.0), np.ones(40), top=30))
    assert [int(line.split()[0]) for line in table[1:]] == list(range(30))
