from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "stable_baselines3.md").read_text()
TASKS = re.findall(r"`results/(\w+)\.json`", PAGE.split("## Off-policy")[1].split("\n## ")[0])


def result(name: str) -> dict:
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


@pytest.mark.parametrize("task", [task for task in TASKS if "cost" not in task])
def test_the_returns_of_the_off_policy_section_are_those_of_its_result_files(task) -> None:
    record = result(task)
    none, credit, dense = (record["arms"][arm] for arm in ("none", "lrp/accumulator", "dense"))
    returns = " | ".join(f"{arm['mean_evaluation']:.1f}" for arm in (none, credit, dense))
    evaluations = ", ".join(f"{value:.0f}" for value in credit["evaluations"])
    row = f"| {record['timesteps']:,} | {len(record['seeds'])} | {returns} | {credit['way_by_evaluation']:.2f} |"
    assert f"| `{record['environment']}` {row} {evaluations} |" in PAGE
    assert record["command"] in PAGE.replace("\\\n    ", "")


@pytest.mark.parametrize("cost", [task for task in TASKS if "cost" in task])
def test_the_cost_of_the_off_policy_section_is_that_of_its_result_file(cost) -> None:
    agent = result(cost)["agents"]["causal, accumulator"]
    page = " ".join(PAGE.split())
    assert f"{agent['wall_ratio']:.2f} times the wall time" in page
    assert f"{agent['processor_ratio']:.2f} times the processor time" in page
    assert f"Over {result(cost)['options']['timesteps']:,} steps" in page


def test_the_off_policy_section_names_results() -> None:
    assert TASKS
