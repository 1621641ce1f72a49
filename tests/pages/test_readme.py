from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import fmean, median

import pytest

from studies.proving_ground.deep_report import ways
from studies.proving_ground.report import collect
from studies.proving_ground.suites import SUITES
from studies.proving_ground.tables import learning_time

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "results.md"

DEEP_ARMS = {
    "none": "delayed",
    "dense": "dense, the environment's own",
    "lrp/leaky": "LRP credit (leaky)",
    "difference/markov": "differences of predictions (Markov)",
}
DEEP_TASKS = [(SUITES[name], task) for name in ("deep", "held_out") for task in SUITES[name].tasks]


def test_the_readme_fits_one_screen() -> None:
    assert len(README.read_text().splitlines()) <= 60


def test_every_file_that_the_readme_links_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert target.startswith("http") or (README.parent / target).exists(), target


def result(name: str) -> dict:
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def test_the_numbers_of_the_page_are_those_of_the_result_files() -> None:
    text = PAGE.read_text()
    for agent, summary in result("watch_repair")["agents"].items():
        assert str(summary["median"]) in text, agent
    page = (ROOT / "docs" / "stable_baselines3.md").read_text()
    for name, agent in result("sb3_cost")["agents"].items():
        row = f"| {agent['wall_ratio']:.2f} | {agent['processor_ratio']:.2f} |"
        assert row in text
        assert name == "alone" or row in page


@pytest.mark.parametrize(("suite", "task"), DEEP_TASKS, ids=lambda part: getattr(part, "env", ""))
def test_the_deep_agents_of_the_page_are_those_of_the_result_files(suite, task) -> None:
    table = collect(suite, task, ROOT / "results" / "benchmarks")
    measured = [(key, ways(task, table, key)) for key in ("final_return", "evaluation")]
    for arm, name in DEEP_ARMS.items():
        if arm not in (*task.arms, *task.side_arms):
            continue
        row = f"| {name} |"
        for key, way in measured:
            values = [run[key] for run in table[arm]]
            assert len(values) == len(suite.seeds_of(task, arm))
            row += f" {fmean(values):.1f} ({min(values):.1f} to {max(values):.1f}) | {way[arm]:.2f} |"
        assert f"| {task.env.rpartition('/')[2]} {row}" in PAGE.read_text()


def test_what_the_page_says_of_seeds_that_nobody_looked_at_is_in_the_result_files() -> None:
    words = " ".join(PAGE.read_text().split())
    fresh = {}
    for task in SUITES["deep"].tasks:
        table = collect(SUITES["deep"], task, ROOT / "results" / "benchmarks")
        fresh[task.env] = {arm: [run for run in runs if run["seed"] > 4] for arm, runs in table.items()}
        fresh[task.env] = {arm: runs for arm, runs in fresh[task.env].items() if runs}
    lander, hopper = (ways(task, fresh[task.env])["lrp/leaky"] for task in SUITES["deep"].tasks if "dense" in task.arms)
    keys = fmean(run["evaluation"] for run in fresh["rudder_lrp/KeyToDoor-v0"]["lrp/leaky"])
    assert f"{lander:.2f} of the way on LunarLander, {hopper:.2f} on Hopper, and evaluate to {keys:.1f} on" in words


@pytest.mark.parametrize(("suite", "task"), DEEP_TASKS, ids=lambda part: getattr(part, "env", ""))
def test_where_agents_end_with_less_variation_is_in_the_result_files(suite, task) -> None:
    page = (ROOT / "docs" / "stable_baselines3.md").read_text()
    table = collect(suite, task, ROOT / "results" / "benchmarks")
    arms = ("lrp/leaky", "lrp/leaky/0.02")
    assert all(len(table[arm]) == suite.seeds for arm in arms)
    before, after = (ways(task, table)[arm] for arm in arms)
    assert f"| {task.name} | {before:.2f} | {after:.2f} |" in page
    before, after = (
        fmean(run["evaluation"] for run in table[arm] if run["seed"] < 5)
        for arm in ("difference/markov", "difference/markov/0.02")
    )
    assert (after > before) == ("KeyToDoor" in task.env)


def test_how_much_noise_less_variation_takes_is_in_the_result_files() -> None:
    page = " ".join((ROOT / "docs" / "stable_baselines3.md").read_text().split())
    task = next(task for task in SUITES["deep"].tasks if "KeyToDoor" in task.env)
    table = collect(SUITES["deep"], task, ROOT / "results" / "benchmarks")
    before, after = (
        {
            key: median([run[key] for run in table[arm] if key in run])
            for key in ("absolute_credit", "on_decisive", "true_on_decisive")
        }
        for arm in ("lrp/leaky", "lrp/leaky/0.02")
    )
    assert (
        f"falls from {before['absolute_credit']:.1f} to {after['absolute_credit']:.1f}, and the share on decisive "
        f"steps or their neighbours rises from {before['on_decisive']:.2f} to {after['on_decisive']:.2f} (medians); "
        f"the true credit has {after['true_on_decisive']:.2f} there."
    ) in page
    assert after["absolute_credit"] == pytest.approx(before["absolute_credit"] / 3, rel=0.2)


def test_how_often_the_door_paid_is_in_the_result_files() -> None:
    task = next(task for task in SUITES["deep"].tasks if "KeyToDoor" in task.env)
    table = collect(SUITES["deep"], task, ROOT / "results" / "benchmarks")
    with_credit, without = ([run["outcomes"]["paid"] for run in table[arm]] for arm in ("lrp/leaky", "none"))
    assert (
        f"paid in {min(with_credit)} to {max(with_credit)} of the last 100 episodes, without in {min(without)} to "
        f"{max(without)}."
    ) in " ".join(PAGE.read_text().split())


def test_where_agents_end_on_four_rooms_is_in_the_result_files() -> None:
    task = next(task for task in SUITES["further_tasks"].tasks if "FourRooms" in task.env)
    table = collect(SUITES["further_tasks"], task, ROOT / "results" / "benchmarks")
    ours, theirs = (median([run["final_share"] for run in table[arm]]) for arm in ("lrp/leaky", "monte_carlo"))
    assert f"credit ends at {ours:.2f} of the way, Monte Carlo at {theirs:.2f}" in " ".join(PAGE.read_text().split())


def test_the_speed_of_lrp_on_its_page_is_that_of_the_result_files() -> None:
    page = (ROOT / "docs" / "lrp.md").read_text()
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
def test_the_learning_times_of_the_page_are_those_of_the_result_files(suite, task, row) -> None:
    cells = [row]
    found = next(known for known in SUITES[suite].tasks if known.env == f"rudder_lrp/{task}-v0")
    table = collect(SUITES[suite], found, ROOT / "results" / "benchmarks")
    for arm in ("lrp/leaky", "monte_carlo", "late_monte_carlo"):
        assert len(table[arm]) == SUITES[suite].seeds
        cells.append(learning_time(table[arm], 50))
    assert f"| {' | '.join(cells)} |" in PAGE.read_text()
