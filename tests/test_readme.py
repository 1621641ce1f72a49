from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import fmean

import pytest

from agents.report import collect
from agents.suites import SUITES
from agents.tables import learning_time

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_three_front_doors_of_the_readme_run_as_printed(snippets, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    steps = "300_000"
    assert len(snippets) == 3
    assert steps in snippets[0]
    for snippet in snippets:
        exec(compile(snippet.replace(steps, "4_096"), str(README), "exec"), names)
    assert list(tmp_path.glob("runs/*/events*"))
    for rewards, lesson in zip(names["rewards"], names["lessons"], strict=False):
        assert rewards.sum() == pytest.approx(lesson.episode_return, abs=1e-6)
    assert names["relevance"].shape == names["inputs"].shape


def test_every_file_that_the_readme_links_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert target.startswith("http") or (README.parent / target).exists(), target


def result(name: str) -> dict:
    return json.loads((README.parent / "results" / f"{name}.json").read_text())


def test_the_numbers_of_the_readme_are_those_of_the_result_files() -> None:
    text = README.read_text()
    for agent, summary in result("watch_repair")["agents"].items():
        assert str(summary["median"]) in text, agent
    for summary in result("lunar_lander")["arms"].values():
        row = f"| {summary['mean']} | {summary['way_from_delayed_to_dense']} | "
        assert row + ", ".join(map(str, summary["final_returns"])) in text
    for summary in result("key_to_door")["arms"].values():
        returns, paid = summary["evaluations"], [outcome["paid"] for outcome in summary["outcomes"]]
        row = f"| {sum(returns) / len(returns):.1f} | {min(returns)} | {max(returns)} | {min(paid)} to {max(paid)} |"
        assert row in text
    page = (README.parent / "docs" / "stable_baselines3.md").read_text()
    for name, agent in result("sb3_cost")["agents"].items():
        row = f"| {agent['wall_ratio']:.2f} | {agent['processor_ratio']:.2f} |"
        assert row in text
        assert name == "alone" or row in page


def test_the_hopper_of_the_readme_is_that_of_the_result_files() -> None:
    task = next(task for task in SUITES["deep"].tasks if task.env == "Hopper-v5")
    table = collect(SUITES["deep"], task, README.parent / "results" / "benchmarks")
    finals = {arm: [run["final_return"] for run in runs] for arm, runs in table.items()}
    delayed, dense = fmean(finals["none"]), fmean(finals["dense"])
    for arm in ("none", "dense", "lrp/leaky", "difference/markov"):
        way = (fmean(finals[arm]) - delayed) / (dense - delayed)
        row = f"| {fmean(finals[arm]):.1f} | {way:.2f} | {min(finals[arm]):.1f}, {max(finals[arm]):.1f} |"
        assert len(finals[arm]) == 5
        assert row in README.read_text()


def test_the_speed_of_lrp_on_its_page_is_that_of_the_result_files() -> None:
    page = (README.parent / "docs" / "lrp.md").read_text()
    one, two = result("lrp_speed_one_thread"), result("lrp_speed")
    for key in (key for key in two if key.startswith("LRP /")):
        cells = [f"{one[key][s]['ratio']} / {two[key][s]['ratio of wall times']}" for s in ("standard", "markov")]
        assert " | ".join(cells) in page
    for rival in two["times faster than"]:
        assert " / ".join(str(part["times faster than"][rival]["wall time"]) for part in (one, two)) in page


@pytest.mark.parametrize(
    ("suite", "task", "row"),
    [
        ("tabular", "TraceBack25", "Trace-Back, delay 25"),
        ("tabular", "Choice500", "The Choice, delay 500"),
        ("tabular", "Bomb15", "Grid World (bomb), delay 15"),
        ("further_tasks", "ChargeDischarge20", "Charge-Discharge, 20 steps"),
        ("further_tasks", "ChargeDischarge50", "Charge-Discharge, 50 steps"),
        ("further_tasks", "Coin", "1-D coin, 50 steps"),
        ("further_tasks", "FourRooms", "FourRooms, 200 steps"),
    ],
)
def test_the_learning_times_of_the_readme_are_those_of_the_result_files(suite, task, row) -> None:
    cells = [row]
    found = next(known for known in SUITES[suite].tasks if known.env == f"rudder_lrp/{task}-v0")
    table = collect(SUITES[suite], found, README.parent / "results" / "benchmarks")
    for arm in ("lrp/accumulator", "lrp/leaky", "monte_carlo", "late_monte_carlo"):
        assert len(table[arm]) == SUITES[suite].seeds
        cells.append(learning_time(table[arm], 50))
    assert f"| {' | '.join(cells)} |" in README.read_text()
