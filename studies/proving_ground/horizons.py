"""How far each deep agent looks ahead and how fast it learns: the grids, and what was chosen on seeds of their own.

Where reward is late, an agent without credit is only as good as its discount; so each arm is given its best horizon,
and then its best pace, until no other horizon and no other pace does better.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from studies.results import ResultTable


class Horizon(NamedTuple):
    """Two numbers that say how far an agent of the PPO family looks ahead."""

    gamma: float
    """Discount of the reward."""
    gae_lambda: float
    """How much of the advantage comes from rewards, and not from the critic (Schulman et al. 2016)."""

    @property
    def algo_kwargs(self) -> tuple[str, ...]:
        """As hyperparameters of the algorithm."""
        return f"gamma={self.gamma}", f"gae_lambda={self.gae_lambda}"


class Pace(NamedTuple):
    """Two numbers that say how fast an agent of the PPO family learns, and how long it goes on trying."""

    learning_rate: float
    ent_coef: float
    """Weight of the policy's entropy in what it maximises."""

    @property
    def algo_kwargs(self) -> tuple[str, ...]:
        """As hyperparameters of the algorithm; none, where they are the library's defaults."""
        if self == PACES[0]:
            return ()
        return f"learning_rate={self.learning_rate}", f"ent_coef={self.ent_coef}"


GRID = tuple(Horizon(*pair) for pair in product((0.99, 0.999), (0.95, 0.98)))
"""What each arm is tried with at first; the first is the library's default."""

PACES = tuple(Pace(*pair) for pair in product((0.0003, 0.001, 0.003), (0.0, 0.01)))
"""What each arm is tried with at its best horizon; the first is the library's default."""


class Tuning(NamedTuple):
    """What an arm is given."""

    horizon: Horizon
    pace: Pace = PACES[0]

    @property
    def algo_kwargs(self) -> tuple[str, ...]:
        """As hyperparameters of the algorithm."""
        return self.horizon.algo_kwargs + self.pace.algo_kwargs

    @property
    def neighbours(self) -> list[Tuning]:
        """The same with another horizon, or another pace."""
        others = [self._replace(horizon=horizon) for horizon in GRID] + [self._replace(pace=pace) for pace in PACES]
        return [other for other in others if other != self]


Arm = tuple[str, str]
"""Environment and credit."""

SEEDS = range(100, 103)
"""What each is tried on; no report shows them."""

TABLE = "horizons"
"""Where the runs are."""


def tried(folder: Path) -> dict[Arm, dict[Tuning, float]]:
    """Mean evaluation over the seeds, by arm and what it was given; nothing of what was not run."""
    table = ResultTable(folder / f"{TABLE}.jsonl")
    settings = table.fingerprints.known()
    known = {tuning.algo_kwargs: tuning for tuning in map(Tuning._make, product(GRID, PACES))}
    found: dict[Arm, dict[Tuning, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in (row for row in table.rows() if row["seed"] in SEEDS):
        tuning = known[tuple(settings[row["settings"]]["algo_kwargs"])]
        found[row["env"], row["arm"]][tuning].append(row["evaluation"])
    return {arm: {tuning: fmean(runs) for tuning, runs in of_arm.items()} for arm, of_arm in found.items()}


def chosen(folder: Path) -> dict[Arm, Tuning]:
    """What evaluated best of all that was tried, by arm; only for arms that were tried with all horizons."""
    first = {Tuning(horizon) for horizon in GRID}
    return {arm: max(means, key=means.__getitem__) for arm, means in tried(folder).items() if means.keys() >= first}
