from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from statistics import fmean, median

import pytest

from agents.deep.presets import AgentConfig
from rudder_lrp.redistribution.config import ON_POLICY
from studies.proving_ground.report import REPORTED, suite_tables, write_report
from studies.proving_ground.suites import SUITES
from studies.reports import PAGES
from studies.results import ResultTable

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def test_the_readme_fits_one_screen() -> None:
    assert len(README.read_text().splitlines()) <= 60


def test_every_file_that_the_readme_links_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert target.startswith("http") or (README.parent / target).exists(), target


@pytest.mark.parametrize("name", PAGES)
def test_every_number_of_a_page_is_that_of_the_result_tables(name: str) -> None:
    text = (ROOT / name).read_text()
    assert PAGES[name].made(text, ROOT / "results") == text


def test_the_page_of_benchmarks_is_made_from_the_result_tables(tmp_path: Path) -> None:
    made = write_report(tmp_path / "benchmarks.md", ROOT / "results")
    assert made.read_text() == (ROOT / "docs" / "benchmarks.md").read_text()
    for figure in re.findall(r"\]\((figures/[^)]+)\)", made.read_text()):
        assert (tmp_path / figure).is_file()
        assert (ROOT / "docs" / figure).is_file()


def test_a_page_changes_with_the_result_tables(tmp_path: Path) -> None:
    for table in (ROOT / "results").glob("*.jsonl"):
        shutil.copy(table, tmp_path)
    cost = ResultTable(tmp_path / "cost.jsonl")
    cost.add([row | {"wall_ratio": 7.25} for row in cost.rows() if row["env"] == "Pendulum-v1"])
    cost.add([row | {"wall_ratio": 6.25} for row in cost.rows() if row["agent"] == "episodic"])
    page = ROOT / "docs" / "stable_baselines3.md"
    made = PAGES["docs/stable_baselines3.md"].made(page.read_text(), tmp_path)
    assert "credit takes 7.25 times" in " ".join(made.split())
    assert "| episodic LRP, Markov LSTM | 6.25 / " in made


@pytest.mark.parametrize("name", REPORTED)
def test_every_row_that_a_page_compares_is_there(name: str) -> None:
    suite, tables = SUITES[name], suite_tables(name, ROOT / "results")
    assert [task for task, _ in tables] == list(suite.tasks)
    for task, table in tables:
        for arm, runs in table.items():
            if arm not in task.side_arms or task.timesteps is None:
                assert [run["seed"] for run in runs] == suite.seeds_of(task, arm)


@pytest.mark.parametrize("name", ["deep", "held_out"])
def test_the_credit_that_agents_have_where_nothing_is_said_is_measured_on_every_deep_task(name: str) -> None:
    arm = f"{AgentConfig().credit}/{ON_POLICY.structure}"
    for task, table in suite_tables(name, ROOT / "results"):
        assert len(table.get(arm, [])) == SUITES[name].seeds, f"{arm} on {task.env}"


def test_what_the_page_says_of_less_variation_holds() -> None:
    for name in ("deep", "held_out"):
        for task, table in suite_tables(name, ROOT / "results"):
            before, after = (
                fmean(run["evaluation"] for run in table[arm] if run["seed"] < 5)
                for arm in ("difference/markov", "difference/markov/0.02")
            )
            assert (after > before) == ("KeyToDoor" in task.env)
            if "KeyToDoor" in task.env:
                noise = [
                    median([run["absolute_credit"] for run in table[arm] if "absolute_credit" in run])
                    for arm in ("lrp/leaky", "lrp/leaky/0.02")
                ]
                assert noise[1] == pytest.approx(noise[0] / 3, rel=0.2)


def test_the_results_are_few_and_small_and_nothing_else_is_large() -> None:
    tables = sorted((ROOT / "results").glob("*.*"))
    assert {table.suffix for table in tables} == {".jsonl"}
    assert sum(table.stat().st_size for table in tables) < 2.1e6
    assert all(picture.stat().st_size < 6e4 for picture in (ROOT / "docs").rglob("*.png"))
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True, text=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 5e6
