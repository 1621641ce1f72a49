"""What a run depends on beside its task, arm and seed: settled when it is made, compared when it is shown.

A run counts as one of today's if all that it was made with is so today, and options that came later have their default;
so a new option leaves old runs alone, and a changed default does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agents.deep.presets import Credit
from agents.tabular.credits import CreditConfig
from studies.fingerprints import fingerprint
from studies.json_lines import Row
from studies.proving_ground.arms import has_credit
from studies.proving_ground.tasks import Task
from studies.proving_ground.trials import deep_config
from studies.results import ResultTable

Settings = Mapping[str, Any]
"""Options by name; those of a part of it are a mapping again."""


def settings_of(task: Task, arm: str) -> dict[str, Any]:
    """Today's settings of an arm, as a table would give them back."""
    settings = _deep(task, arm) if task.timesteps else _tabular(task, has_credit(arm))
    return dict(json.loads(json.dumps(settings)))


def _deep(task: Task, arm: str) -> dict[str, Any]:
    config = deep_config(task, arm, seed=0)
    budget = ("timesteps", "evaluation_episodes", "evaluate_every")
    settings = asdict(config) | {name: getattr(task, name) for name in budget}
    settings["lessons"] = task.lessons and asdict(task.lessons)
    del settings["seed"]
    if config.credit not in (Credit.LRP, Credit.DIFFERENCE):
        del settings["redistribution"]
    if config.credit is not Credit.RRD:
        del settings["rrd"]
    return settings


def _tabular(task: Task, credited: bool) -> dict[str, Any]:
    names = ["env", "learning_rate", "exploration", "episodes" if credited else "baseline_episodes"]
    settings = {name: value for name, value in asdict(task).items() if name in names}
    return settings | ({"credit": asdict(CreditConfig())} if credited else {})


@dataclass(frozen=True)
class KnownSettings:
    """The settings that the rows beside a result table were made with."""

    by_fingerprint: Mapping[str, Settings]

    @classmethod
    def beside(cls, table: ResultTable) -> KnownSettings:
        """Those in the folder of a result table."""
        return cls(table.fingerprints.known())

    def of_task(self, row: Row, task: Task) -> bool:
        """Whether a row is of a task, and not of a longer or shorter one in the same table."""
        then = self.by_fingerprint.get(row["settings"], {})
        studied = bool(then.get("lessons"))
        return "timesteps" not in then or (then["timesteps"] == task.timesteps and studied == bool(task.lessons))

    def today(self, task: Task, arm: str) -> str:
        """The fingerprint of what runs of an arm are made with today."""
        now, default = settings_of(task, arm), settings_of(Task(task.env, timesteps=task.timesteps), arm)
        same = (known for known, then in self.by_fingerprint.items() if unchanged(then, now, default))
        return next(same, fingerprint(now))


def remember(table: ResultTable, task: Task, arm: str, known: str) -> None:
    """Keep what a fingerprint stands for, beside a result table."""
    table.fingerprints.remember({known: settings_of(task, arm)})


def unchanged(then: Settings, now: Settings, default: Settings) -> bool:
    """Whether nothing has changed but for options that are new and at their default."""
    return then.keys() <= now.keys() and all(
        _same(then[name], now[name], default[name]) if name in then else now[name] == default[name] for name in now
    )


def _same(then: Any, now: Any, default: Any) -> bool:
    parts = all(isinstance(settings, dict) for settings in (then, now, default))
    return unchanged(then, now, default) if parts else bool(then == now)
