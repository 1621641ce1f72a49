from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agents.deep.presets import AgentConfig
from agents.tabular.credits import CreditConfig
from agents.tabular.lockstep import Exploration
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.redistribution.config import CreditConfig as CreditOptions
from studies.proving_ground.harness import record
from studies.proving_ground.report import collect, write_report
from studies.proving_ground.settings import KnownSettings, settings_of
from studies.proving_ground.suites import SUITES
from studies.proving_ground.tasks import Suite, Task
from studies.proving_ground.trials import Job, Result
from studies.results import ResultTable
from tests.studies.pretending import DEEP_TASK, MADE, TASK, finished


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ResultTable(tmp_path / "tabular.jsonl")
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
