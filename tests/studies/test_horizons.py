"""Every arm gets the horizon, and then the pace, that did best on seeds that no report shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.fingerprints import Fingerprints
from studies.provenance import FIELDS
from studies.proving_ground.horizons import GRID, PACES, SEEDS, Tuning, chosen, tried
from studies.proving_ground.suites import SUITES, table_of
from studies.results import ResultTable

KEY = ("LunarLander-v3", "none")


HORIZONS = [Tuning(horizon) for horizon in GRID]


def written(folder: Path, evaluations: dict[Tuning, dict[int, float]]) -> Path:
    """A table of one arm: evaluations by what it was given, and by seed."""
    origin = dict.fromkeys(FIELDS, "-")
    settings = {repr(tuning): {"algo_kwargs": tuning.algo_kwargs} for tuning in evaluations}
    rows = [
        {"env": KEY[0], "arm": KEY[1], "seed": seed, "settings": repr(tuning), "evaluation": value, **origin}
        for tuning, of_seed in evaluations.items()
        for seed, value in of_seed.items()
    ]
    Fingerprints(folder).remember(settings)
    ResultTable(folder / "horizons.jsonl").add(rows)
    return folder


def of_horizons(*means: float) -> dict[Tuning, dict[int, float]]:
    return {tuning: {100: mean} for tuning, mean in zip(HORIZONS, means, strict=False)}


def test_the_best_mean_is_chosen(tmp_path: Path) -> None:
    folder = written(tmp_path, of_horizons(1, 1.5, 2.9, -1) | {HORIZONS[1]: {100: 0, 101: 3}})
    assert chosen(folder) == {KEY: HORIZONS[2]}
    assert tried(folder)[KEY][HORIZONS[1]] == 1.5


def test_seeds_that_are_reported_do_not_choose(tmp_path: Path) -> None:
    assert not set(SEEDS) & set(range(SUITES["best_horizons"].seeds))
    folder = written(tmp_path, of_horizons(1, 2, 0, 0) | {HORIZONS[0]: {100: 1, 0: 1000}})
    assert chosen(folder) == {KEY: HORIZONS[1]}


def test_nothing_is_chosen_before_all_were_tried(tmp_path: Path) -> None:
    assert chosen(written(tmp_path, of_horizons(1, 2))) == {}
    assert chosen(tmp_path / "nowhere") == {}


def test_a_better_pace_is_chosen_too(tmp_path: Path) -> None:
    paced = HORIZONS[1]._replace(pace=PACES[2])
    folder = written(tmp_path, of_horizons(0, 2, 1, 0) | {paced: {100: 5}})
    assert chosen(folder) == {KEY: paced}


def test_neighbours_have_another_horizon_or_another_pace() -> None:
    paced = HORIZONS[1]._replace(pace=PACES[2])
    assert len(set(paced.neighbours)) == len(paced.neighbours) == len(GRID) + len(PACES) - 2
    assert all((near.horizon == paced.horizon) != (near.pace == paced.pace) for near in paced.neighbours)


def test_the_librarys_own_pace_is_not_named() -> None:
    assert HORIZONS[3].algo_kwargs == ("gamma=0.999", "gae_lambda=0.98")
    paced = HORIZONS[3]._replace(pace=PACES[3])
    assert paced.algo_kwargs == ("gamma=0.999", "gae_lambda=0.98", "learning_rate=0.001", "ent_coef=0.01")


def test_reported_agents_have_what_was_chosen() -> None:
    best = chosen(Path(__file__).parents[2] / "results")
    tasks = {(task.env, arm): task for task in SUITES["best_horizons"].tasks for arm in task.arms}
    assert tasks.keys() == best.keys()
    assert all(task.agent.algo_kwargs == best[key].algo_kwargs for key, task in tasks.items())


@pytest.mark.parametrize(("suite", "table"), [("held_out", "deep"), ("best_horizons", "horizons"), ("deep", "deep")])
def test_suites_may_share_a_table(suite: str, table: str) -> None:
    assert table_of(suite, Path("results")).path == Path("results") / f"{table}.jsonl"
