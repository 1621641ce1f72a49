"""Every page with numbers that were measured, made from the result tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from studies import architecture, rllib_report
from studies.balance import balance
from studies.comparison_report import comparison
from studies.cost_report import cost_of_sac, costs
from studies.episodic_report import episodic_mujoco
from studies.faithfulness import tables as faithfulness
from studies.faithfulness.figures import write_figures
from studies.horizon_report import (
    at_the_librarys_pace,
    best_horizons,
    by_lessons_alone,
    hopper_by_lessons_alone,
    horizons_tried,
    with_fewer_rounds,
)
from studies.json_lines import Row
from studies.lesson_report import lessons_and_their_age
from studies.pages import fill, restate, table
from studies.profiles import FIGURE, compared, draw_profiles
from studies.proving_ground.arms import SHIPPED, TABULAR_RIVALS
from studies.proving_ground.deep_report import ways
from studies.proving_ground.report import suite_tables, write_report
from studies.proving_ground.tables import Table, learning_time
from studies.proving_ground.tasks import Task
from studies.proving_ground.watch_repair_report import repair_medians
from studies.results import FOLDER, ResultTable
from studies.speed_report import microseconds, on_a_gpu, peaks, range_of_speeds, speeds, times_faster

DEEP_ARMS = {
    "none": "delayed",
    "dense": "dense, the environment's own",
    SHIPPED: "LRP credit (minimal, today's default)",
    "lrp/leaky": "LRP credit (leaky)",
    "difference/markov": "differences of predictions (Markov)",
}
TABULAR_ROWS = {
    "tabular": {
        "TraceBack25": "Trace-Back, delay 25",
        "Choice500": "The Choice, delay 500",
        "Bomb15": "Grid World (bomb), delay 15",
    },
    "further_tasks": {
        "ChargeDischarge20": "Charge-Discharge, 20 steps",
        "ChargeDischarge50": "Charge-Discharge, 50 steps",
        "Coin": "1-D coin, 50 steps",
        "FourRooms": "FourRooms, 200 steps",
    },
}


@dataclass(frozen=True)
class Page:
    """What a page takes from the result tables in a folder."""

    blocks: Mapping[str, Callable[[Path], str]]
    """By the marker that they stand behind."""
    sentences: Mapping[str, Callable[[Path], Sequence[object]]]
    """Sentences with holes, and the numbers in them."""

    def made(self, text: str, folder: Path) -> str:
        """The text with the numbers of the tables.

        Raises:
            ValueError: if it has no place for one of them.
        """
        text = fill(text, {name: block(folder) for name, block in self.blocks.items()})
        for sentence, numbers in self.sentences.items():
            text = restate(text, sentence, *numbers(folder))
        return text


def write_pages(root: Path, folder: Path = FOLDER) -> list[Path]:
    """Write all pages and figures of the checkout at `root`; the pages."""
    for name, page in PAGES.items():
        (root / name).write_text(page.made((root / name).read_text(), folder))
    write_figures(root / "docs", faithfulness.results(folder))
    draw_profiles(root / "docs" / FIGURE, compared(folder))
    (root / architecture.DRAWING).write_text(architecture.drawn(architecture.rooms()))
    return [write_report(root / "docs" / "benchmarks.md", folder), *(root / name for name in PAGES)]


def deep_agents(folder: Path) -> str:
    """Returns of deep agents on four tasks, and how far they are on the way to the dense reward."""
    rows = []
    for task, found in (*suite_tables("deep", folder), *suite_tables("held_out", folder)):
        measured = [(key, ways(task, found, key)) for key in ("final_return", "evaluation")]
        for arm, name in DEEP_ARMS.items():
            if arm in found:
                rows.append(
                    [task.name, name, *(cell for key, way in measured for cell in _end(found[arm], key, way[arm]))]
                )
    return table(["task", "reward PPO learns from", "return", "way", "evaluation", "way"], rows)


def _end(runs: Iterable[Row], key: str, way: float) -> tuple[str, str]:
    values = [run[key] for run in runs]
    return f"{fmean(values):.1f} ({min(values):.1f} to {max(values):.1f})", f"{way:.2f}"


def true_credit(folder: Path) -> str:
    """Credit as handed out beside the true one of the agent's own policy, medians over the seeds, over training."""
    rows = []
    for task, found in suite_tables("credit", folder):
        curves = [run["credit_curve"] for runs in found.values() for run in runs if run.get("credit_curve")]
        for at in range(max(map(len, curves), default=0)):
            points = [curve[at][1] for curve in curves if len(curve) > at]
            rows.append([task.name, f"{round(curves[0][at][0], -3):,}", str(len(points)), *_truth(points)])
    names = ["squared error / none", "squared error", "correlation", "credit without cause", "largest on decisive"]
    return table(["task", "steps", "seeds", *names, "of the true credit", "within one bar", "within two"], rows)


def _truth(points: Sequence[Mapping[str, float]]) -> list[str]:
    keys = ("error", "squared_error", "correlation", "credit_without_cause", "largest_on_decisive")
    keys += ("true_largest_on_decisive", "within_one", "within_two")
    return [f"{median(point[key] for point in points):.2f}" for key in keys]


def learning_times(folder: Path) -> str:
    """Episodes of credit, of Monte Carlo and of the control, both without and with replay."""
    rows = []
    for suite, tasks in TABULAR_ROWS.items():
        for task, name in tasks.items():
            _, found = _task(suite, task, folder)
            arms = ("lrp/leaky", *TABULAR_RIVALS)
            rows.append([name, *(learning_time(found[arm], 50) for arm in arms)])
    return table(["task", "LRP (leaky)", "Monte Carlo", "with replay", "control", "with replay"], rows)


def unseen_seeds(folder: Path) -> list[str]:
    """Seeds from 5 on: ways on LunarLander and on Hopper, evaluation on key-to-door."""
    fresh: dict[str, tuple[Task, Table]] = {}
    for task, found in suite_tables("deep", folder):
        later = {arm: [run for run in runs if run["seed"] > 4] for arm, runs in found.items()}
        fresh[task.name] = task, {arm: runs for arm, runs in later.items() if runs}
    keys = fmean(run["evaluation"] for run in fresh["KeyToDoor-v0"][1]["lrp/leaky"])
    return [*(f"{ways(*fresh[name])['lrp/leaky']:.2f}" for name in ("LunarLander-v3", "Hopper-v5")), f"{keys:.1f}"]


def less_noise(folder: Path) -> str:
    """How far LRP on the leaky structure comes, without and with the weight of little variation."""
    rows = []
    for task, found in (*suite_tables("deep", folder), *suite_tables("held_out", folder)):
        way = ways(task, found)
        rows.append([task.name, *(f"{way[arm]:.2f}" for arm in ("lrp/leaky", "lrp/leaky/0.02"))])
    return table(["task", "weight 0", "weight 0.02"], rows)


def noise_on_key_to_door(folder: Path) -> list[str]:
    """Absolute credit without and with the weight, its shares on decisive steps, and that of the true credit."""
    _, found = _task("deep", "KeyToDoor", folder)

    def middle(arm: str, key: str) -> float:
        return float(median(run[key] for run in found[arm] if key in run))

    arms = ("lrp/leaky", "lrp/leaky/0.02")
    return [
        *(f"{middle(arm, 'absolute_credit'):.1f}" for arm in arms),
        *(f"{middle(arm, 'on_decisive'):.2f}" for arm in arms),
        f"{middle(arms[1], 'true_on_decisive'):.2f}",
    ]


def off_policy(folder: Path) -> str:
    """Evaluations of SAC with the delayed reward, with credit and with the dense reward."""
    rows = []
    for task, found in suite_tables("off_policy", folder):
        means = [
            f"{fmean(run['evaluation'] for run in found[arm]):.1f}" for arm in ("none", "lrp/accumulator", "dense")
        ]
        way, ours = ways(task, found, "evaluation")["lrp/accumulator"], found["lrp/accumulator"]
        single = ", ".join(f"{run['evaluation']:.0f}" for run in ours)
        rows.append([f"`{task.name}`", f"{task.timesteps:,}", str(len(ours)), *means, f"{way:.2f}", single])
    header = ["delayed", "with credit", "dense", "way from delayed to dense", "with credit, seed by seed"]
    return table(["task", "steps", "seeds", *header], rows)


def door_paid(folder: Path) -> list[float]:
    """How often the door of key-to-door paid, least and most, with credit and without."""
    _, found = _task("deep", "KeyToDoor", folder)
    shares = ([run["outcomes"]["paid"] for run in found[arm]] for arm in ("lrp/leaky", "none"))
    return [bound(of_arm) for of_arm in shares for bound in (min, max)]


def four_rooms(folder: Path) -> list[str]:
    """Where credit and Monte Carlo end."""
    _, found = _task("further_tasks", "FourRooms", folder)
    return [f"{median(run['final_share'] for run in found[arm]):.2f}" for arm in ("lrp/leaky", "monte_carlo")]


def _task(suite: str, name: str, folder: Path) -> tuple[Task, Table]:
    return next((task, found) for task, found in suite_tables(suite, folder) if task.name == f"{name}-v0")


def _rows(name: str, folder: Path) -> list[dict[str, Any]]:
    return ResultTable(folder / f"{name}.jsonl").rows()


def repair_times(folder: Path) -> str:
    """Median episodes of each agent on watch repair."""
    return table(["agent", "episodes"], list(repair_medians(_rows("watch_repair", folder)).items()))


PAGES = {
    "docs/index.md": Page({"compare": lambda _: comparison()}, {}),
    "docs/limits.md": Page({"balance": balance}, {}),
    "docs/architecture.md": Page({"rooms": lambda _: architecture.described(architecture.rooms())}, {}),
    "docs/results.md": Page(
        {
            "watch repair": repair_times,
            "horizons tried": horizons_tried,
            "best horizons": best_horizons,
            "deep agents": deep_agents,
            "cost": costs,
            "true credit": true_credit,
            "lessons and their age": lessons_and_their_age,
            "learning times": learning_times,
        },
        {
            "of the same LSTM ({} to {} times; {} to {} times if relevance travels through no hidden state, {} to {} "
            "times if no gate sees one either)": range_of_speeds,
            "the same seeds made {} (PPO alone), {} (LRP credit) and {} (dense), a lead of credit of {} [{}, "
            "{}]": at_the_librarys_pace,
            "alone the same ten seeds with credit made {} [{}, {}], half of them more than 200, the others less than "
            "100, one of them {}; with a round after a fifth more of their steps, too, which was chosen on Hopper, all "
            "ten end between {} and {}. What credit": by_lessons_alone,
            "alone, the same ten seeds of Hopper made {} (evaluation {})": hopper_by_lessons_alone,
            "the same {} seeds of the lander made {} [{}, {}]": with_fewer_rounds,
            "paid in {} to {} of the last 100 episodes, without in {} to {}. The true": door_paid,
            "make {} of the way on LunarLander, {} on Hopper, and evaluate to {} on key-to-door": unseen_seeds,
            "credit ends at {} of the way, Monte Carlo at {} (medians)": four_rooms,
        },
    ),
    "docs/rllib.md": Page(
        {"flow": rllib_report.flow},
        {
            "that run of {} steps the true return came to {} without credit and to {} with it, one seed "
            "each": rllib_report.learnt,
            "With four EnvRunners of two environments, {} steps and {} seeds, the return of the last iterations comes "
            "to {} [{}, {}] with credit (interquartile mean); at the same discount and lambda an agent of "
            "Stable-Baselines3 evaluates to {} [{}, {}].": rllib_report.with_four_runners,
            "would make {} lessons and {} MB a second, and every version of {} kB goes to each of them, {} MB in "
            "all": rllib_report.thousand,
        },
    ),
    "docs/stable_baselines3.md": Page(
        {
            "less noise": less_noise,
            "off-policy": off_policy,
            "episodic MuJoCo": episodic_mujoco,
            "cost": costs,
        },
        {
            "absolute credit of an episode falls from {} to {}, and the share on decisive steps or their neighbours "
            "rises from {} to {} (medians); the true credit has {} there": noise_on_key_to_door,
            "Over {} steps of SAC with networks of two layers of 64 on Pendulum, credit takes {} times the wall time "
            "and {} times the processor time of SAC alone; over {} steps on HalfCheetah, {} and {} times": cost_of_sac,
        },
    ),
    "docs/lrp.md": Page(
        {"speed": speeds, "gpu": on_a_gpu},
        {
            "the batch is {} / {} times faster than the step-by-step formulation one sequence at a time, and {} / {} "
            "times faster than Captum's integrated gradients at 50 steps": times_faster,
            "is {}, {} and {} microseconds at T = 100, 1,000 and 10,000 (B = 8), and {}, {} and {} at B = 64, 256 and "
            "1,024": microseconds,
            "LRP lifts the memory of a fresh process by {} MiB, forward + backward by {}. Where": peaks,
        },
    ),
    "docs/faithfulness.md": Page(
        {
            name: lambda folder, made=made: made(faithfulness.results(folder))
            for name, made in faithfulness.TABLES.items()
        },
        {},
    ),
}
"""By their path in the checkout; `docs/benchmarks.md` is made as a whole."""
