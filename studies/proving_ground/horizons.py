"""How far each deep agent looks ahead: the grid it is chosen from, and what was chosen on seeds that no report shows.

Where reward is late, an agent without credit is only as good as its discount; so each arm is given its best.
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


Arm = tuple[str, str]
"""Environment and credit."""

GRID = tuple(Horizon(*pair) for pair in product((0.99, 0.999), (0.95, 0.98)))
"""What each arm is tried with; the first is the library's default."""

SEEDS = range(100, 103)
"""What each is tried on; no report shows them."""

TABLE = "horizons"
"""Where the runs are."""


def tried(folder: Path) -> dict[Arm, dict[Horizon, float]]:
    """Mean evaluation over the seeds, by arm and horizon; nothing of what was not run."""
    table = ResultTable(folder / f"{TABLE}.jsonl")
    settings = table.fingerprints.known()
    found: dict[Arm, dict[Horizon, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in (row for row in table.rows() if row["seed"] in SEEDS):
        algorithm = settings[row["settings"]]["algo_kwargs"]
        horizon = next(horizon for horizon in GRID if list(horizon.algo_kwargs) == algorithm)
        found[row["env"], row["arm"]][horizon].append(row["evaluation"])
    return {arm: {horizon: fmean(runs) for horizon, runs in of_arm.items()} for arm, of_arm in found.items()}


def chosen(folder: Path) -> dict[Arm, Horizon]:
    """The horizon that evaluated best, by arm; only for arms that were tried with all of them."""
    complete = {arm: means for arm, means in tried(folder).items() if len(means) == len(GRID)}
    return {arm: max(means, key=means.__getitem__) for arm, means in complete.items()}
