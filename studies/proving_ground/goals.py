"""What a benchmark is for: each goal beside what the runs show, met or missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from envs.finite import Earnings, FiniteModel, values
from studies.json_lines import Row
from studies.proving_ground.arms import BASELINES, DEFAULT
from studies.proving_ground.deep_report import ways
from studies.proving_ground.tables import Table, learning_time, markdown, median, number, quantile_time, times_fewer
from studies.proving_ground.tasks import Task
from studies.proving_ground.trials import environment_of
from studies.proving_ground.watch_repair_report import (
    GOAL,
    best_rival,
    credit_medians,
    credited_runs,
    median_episodes,
)

FIDELITY = 0.8
"""Share of the default's absolute credit that is to lie on decisive steps or beside them."""

_NOTE = """The default credit is `{default}`. Goals are the learning times published for RUDDER, the dense reward on
deep tasks, and {fidelity:.0%} of the credit on decisive steps. Details, and all other arms, are below.

"""
_CHANCE = """*By chance* is how many decisive steps an episode of random actions has. On the bomb that is so few that
within the goal a learner can hardly have seen one, unless it holds on to an exploring action for a while, as all arms
of suite `tabular` do there, or knows the rules, as `oracle` does.

"""

_FIDELITY_NOTE = """
The true credit is the optimal redistribution of the last payment, `oracle` below: where its own share is below the
goal, the true credit lies elsewhere. On key-to-door it is that of the agent's own policy, and apples, which pay at
once, are not decisive for what comes late. A dash: not run, or no decisive step was taken. *Explained* is the share of
the late payment's variance that the predictor explains, on held-out lessons.

"""

Tables = Sequence[tuple[Task, Table]]


def goals(suites: Mapping[str, Tables], repair: Sequence[Row] = ()) -> str:
    """The section that says it first.

    Args:
        suites: what was found, by the name of the suite.
        repair: rows of watch repair.
    """
    every = [(name, task, table) for name, tables in suites.items() for task, table in tables if DEFAULT in table]
    tabular = [entry for entry in every if not entry[1].timesteps]
    parts = ["## Against the goals\n", _NOTE.format(default=DEFAULT, fidelity=FIDELITY)]
    if published := [entry for entry in tabular if entry[1].goal]:
        parts += ["### Episodes to 90 % of the optimum\n", _learning(published), _CHANCE]
    if repair:
        parts += ["### Episodes until 95 % of the decisions on watch repair are right\n", _repair(repair)]
    known = [entry for entry in every if not entry[1].timesteps or np.isfinite(_share(entry[2], DEFAULT))]
    if known or repair:
        parts += ["### Credit on decisive steps\n", _fidelity(known, repair)]
    if deep := [(task, table) for _, task, table in every if task.timesteps]:
        parts += ["### From the delayed reward to the dense one\n", _deep(deep)]
    return "\n".join(parts)


def _learning(entries: Sequence[tuple[str, Task, Table]]) -> str:
    rows = []
    for suite, task, table in entries:
        rivals = [arm for arm in BASELINES if arm in table]
        best = min(rivals, key=lambda rival: quantile_time(table[rival], 50).episodes) if rivals else ""
        ours = quantile_time(table[DEFAULT], 50)
        met = ours.solved and task.goal is not None and ours.episodes <= task.goal
        rows.append(
            [
                f"{task.name}, suite `{suite}`",
                f"{task.goal}",
                learning_time(table[DEFAULT], 50),
                "met" if met else "missed",
                str(len(table[DEFAULT])),
                f"{best} {learning_time(table[best], 50)}" if best else "",
                times_fewer(quantile_time(table[best], 50), ours) if best else "",
                f"{decisive_by_chance(environment_of(task).model):.2g}",
            ]
        )
    header = ["task", "goal", "median", "", "seeds", "best baseline", "times fewer episodes", "by chance"]
    return markdown(header, rows)


def _repair(repair: Sequence[Row]) -> str:
    runs = credited_runs(repair)
    ours = median_episodes(runs)
    rival, theirs = best_rival(repair)
    row = [f"{GOAL}", number(ours), "met" if ours <= GOAL else "missed", str(len(runs))]
    header = ["goal", "median with LRP credit", "", "seeds", "best baseline", "times fewer episodes"]
    return markdown(header, [[*row, f"{rival}: {number(theirs)}", f"{theirs / ours:.3g}"]])


def _fidelity(entries: Sequence[tuple[str, Task, Table]], repair: Sequence[Row]) -> str:
    rows = []
    for suite, task, table in entries:
        ours, *others = (_share(table, arm) for arm in (DEFAULT, "lrp/accumulator", "difference/markov"))
        true = median(table[DEFAULT], "true_on_decisive") if task.timesteps else _share(table, "oracle")
        explained = f"{median(table[DEFAULT], 'explained_variance'):.2f}"
        name = f"{task.name}, suite `{suite}`"
        rows.append([name, _decimals(ours), _verdict(ours, true), explained, *map(_decimals, [*others, true])])
    if repair:
        rows.append(_repair_fidelity(repair))
    header = ["task", DEFAULT, "", "explained", "lrp/accumulator", "difference/markov", "true credit"]
    return markdown(header, rows) + _FIDELITY_NOTE


def _repair_fidelity(repair: Sequence[Row]) -> list[str]:
    credit = credit_medians(repair)
    share, of_true_credit = credit["on_decisive"], credit["true_on_decisive"]
    explained = f"{credit['explained_variance']:.2f}"
    cells = [_verdict(share, of_true_credit), explained, _decimals(share), "-", _decimals(of_true_credit)]
    return ["watch repair", "-", *cells]


def _share(table: Table, arm: str) -> float:
    return median(table.get(arm, []), "on_decisive")


def _verdict(share: float, of_true_credit: float) -> str:
    if not np.isfinite(share):
        return "no decisive step taken"
    if share >= FIDELITY:
        return "met"
    return "missed, and so does the true credit" if of_true_credit < FIDELITY else "missed"


def _decimals(share: float) -> str:
    return f"{share:.2f}" if np.isfinite(share) else "-"


def _deep(tables: Tables) -> str:
    rows = []
    for task, table in tables:
        found = ways(task, table)
        if not found:
            continue
        best = {
            kind: max((arm for arm in found if arm.startswith(f"{kind}/")), key=found.__getitem__, default="")
            for kind in ("lrp", "difference")
        }
        dense = "dense" in task.arms
        rows.append(
            [
                task.name,
                f"{found[DEFAULT]:.2f}",
                ("met" if found[DEFAULT] >= 1.0 else "missed") if dense else "no dense reward: the optimum is 1",
                *(f"{arm} {found[arm]:.2f}" if arm else "" for arm in best.values()),
            ]
        )
    return markdown(["task", f"way of {DEFAULT}", "", "best LRP", "best differences of predictions"], rows)


def decisive_by_chance(model: FiniteModel) -> float:
    """How many decisive steps an episode of random actions is expected to have."""
    decisive = np.broadcast_to(model.decisive, model.shape).astype(np.float64)
    counting = replace(model, now=Earnings(np.zeros((1, 1, 1))), late=Earnings(decisive))
    return float(model.starts @ values(counting, epsilon=1.0).state[0])
