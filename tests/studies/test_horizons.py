"""Every arm gets the horizon that did best on seeds that no report shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.fingerprints import Fingerprints
from studies.provenance import FIELDS
from studies.proving_ground.horizons import GRID, SEEDS, chosen, tried
from studies.proving_ground.suites import SUITES, table_of
from studies.results import ResultTable

KEY = ("LunarLander-v3", "none")


def written(folder: Path, evaluations: dict[int, dict[int, float]]) -> Path:
    """A table of one arm: evaluations by horizon's number and seed."""
    origin = dict.fromkeys(FIELDS, "-")
    settings = {f"s{at}": {"algo_kwargs": GRID[at].algo_kwargs} for at in evaluations}
    rows = [
        {"env": KEY[0], "arm": KEY[1], "seed": seed, "settings": f"s{at}", "evaluation": value, **origin}
        for at, of_seed in evaluations.items()
        for seed, value in of_seed.items()
    ]
    Fingerprints(folder).remember(settings)
    ResultTable(folder / "horizons.jsonl").add(rows)
    return folder


def test_the_best_mean_is_chosen(tmp_path: Path) -> None:
    folder = written(tmp_path, {0: {100: 1, 101: 1}, 1: {100: 0, 101: 3}, 2: {100: 2.9}, 3: {100: -1}})
    assert chosen(folder) == {KEY: GRID[2]}
    assert tried(folder)[KEY][GRID[1]] == 1.5


def test_seeds_that_are_reported_do_not_choose(tmp_path: Path) -> None:
    assert not set(SEEDS) & set(range(SUITES["best_horizons"].seeds))
    folder = written(tmp_path, {0: {100: 1, 0: 1000}, 1: {100: 2}, 2: {100: 0}, 3: {100: 0}})
    assert chosen(folder) == {KEY: GRID[1]}


def test_nothing_is_chosen_before_all_were_tried(tmp_path: Path) -> None:
    assert chosen(written(tmp_path, {0: {100: 1}, 1: {100: 2}})) == {}
    assert chosen(tmp_path / "nowhere") == {}


def test_reported_agents_have_what_was_chosen() -> None:
    best = chosen(Path(__file__).parents[2] / "results")
    tasks = {(task.env, arm): task for task in SUITES["best_horizons"].tasks for arm in task.arms}
    assert tasks.keys() == best.keys()
    assert all(task.agent.algo_kwargs == best[key].algo_kwargs for key, task in tasks.items())


@pytest.mark.parametrize(("suite", "table"), [("held_out", "deep"), ("best_horizons", "horizons"), ("deep", "deep")])
def test_suites_may_share_a_table(suite: str, table: str) -> None:
    assert table_of(suite, Path("results")).path == Path("results") / f"{table}.jsonl"
