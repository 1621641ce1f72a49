from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from scripts import benchmark_sb3
from studies.fingerprints import FILE, Fingerprints, fingerprint
from studies.json_lines import FORMAT, Row
from studies.provenance import FIELDS, provenance
from studies.results import KEYS, ResultTable

MADE = {"command": "python", "commit": "abc", "versions": "python 3", "machine": "2 cores"}
ORIGIN = fingerprint(MADE)


def row(seed: int, **numbers: object) -> Row:
    return {"env": "Choice", "arm": "none", "seed": seed, "settings": "0", **numbers, **MADE}


def line(seed: int | None) -> str:
    """As the file has it."""
    return json.dumps(
        {"format": FORMAT, "env": "Choice", "arm": "none", "seed": seed, "settings": "0", "origin": ORIGIN}
    )


def add_ten(path: Path, first: int) -> None:
    for seed in range(first, first + 10):
        ResultTable(path).add([row(seed)])


@pytest.fixture
def table(tmp_path: Path) -> ResultTable:
    return ResultTable(tmp_path / "deep.jsonl")


def test_rows_come_back_sorted_whole_and_once(table: ResultTable) -> None:
    table.add([row(10, curve=[[1, 2.5]], solved_at=None), row(9)])
    table.add([row(10, solved_at=3), row(2)])
    assert table.rows() == [row(2), row(9), row(10, solved_at=3)]


def test_what_many_rows_were_made_with_is_told_once(table: ResultTable) -> None:
    table.add([row(seed) for seed in range(3)])
    table.add([row(3) | {"commit": "def"}])
    assert "abc" not in table.path.read_text()
    assert sorted(origin["commit"] for origin in table.fingerprints.known().values()) == ["abc", "def"]
    assert [found["commit"] for found in table.rows()] == ["abc"] * 3 + ["def"]


def test_what_a_fingerprint_stands_for_stays(table: ResultTable) -> None:
    table.fingerprints.remember({"0": {"algo": "PPO"}})
    table.fingerprints.remember({"0": {"algo": "SAC"}, "1": {"algo": "DQN"}})
    assert table.fingerprints.known() == {"0": {"algo": "PPO"}, "1": {"algo": "DQN"}}


def test_a_row_that_is_added_while_the_table_is_read_is_not_of_unknown_origin(table: ResultTable, monkeypatch) -> None:
    known, added = Fingerprints.known, []

    def add_afterwards(own: Fingerprints) -> dict:
        found = known(own)
        if not added:
            added.append(True)
            table.add([row(1) | {"commit": "def"}])
        return found

    table.add([row(0)])
    monkeypatch.setattr(Fingerprints, "known", add_afterwards)
    assert table.rows() == [row(0)]
    assert [found["commit"] for found in table.rows()] == ["abc", "def"]


def test_a_damaged_table_of_fingerprints_is_to_be_restored(table: ResultTable) -> None:
    table.add([row(0)])
    table.fingerprints.path.write_text("{\n")
    with pytest.raises(ValueError, match=r"fingerprints.jsonl, line 1, is damaged .*; restore the file"):
        table.rows()


def test_the_same_runs_make_the_same_file_in_whatever_order_they_end(tmp_path: Path) -> None:
    one, other = ResultTable(tmp_path / "a" / "deep.jsonl"), ResultTable(tmp_path / "b" / "deep.jsonl")
    for seed in (0, 1, 2):
        one.add([row(seed)])
        other.add([row(2 - seed)])
    for first, second in ((one.path, other.path), (one.fingerprints.path, other.fingerprints.path)):
        assert first.read_bytes() == second.read_bytes()


def test_processes_that_write_at_once_lose_no_row(table: ResultTable) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(add_ten, table.path, first) for first in (0, 10, 20)]:
            done.result()
    assert [found["seed"] for found in table.rows()] == list(range(30))


def test_a_write_that_fails_leaves_the_rows_that_were_there(table: ResultTable) -> None:
    table.add([row(0)])
    with pytest.raises(TypeError):
        table.add([row(1, curve={1, 2})])
    assert table.rows() == [row(0)]


def test_what_could_not_be_measured_is_left_out(table: ResultTable) -> None:
    table.add([row(0, correlation=float("nan"), explained_variance=float("-inf"))])
    assert table.rows() == [row(0, explained_variance=float("-inf"))]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2, is damaged"),
        ("<<<<<<< HEAD", "line 2, is damaged"),
        ("[1]", "line 2, is damaged"),
        ("", "line 2, is damaged"),
        (line(1).replace(str(FORMAT), "2", 1), f"line 2, has format 2, this code reads {FORMAT}; give another results"),
        (json.dumps(row(1)), "line 2, has format None"),
        (line(None), "line 2, is damaged or of another study .no 'seed'."),
        (json.dumps({"format": FORMAT, "agent": "a", "seed": 0, "origin": ORIGIN}), "another study .no 'env'."),
        (json.dumps({"format": FORMAT, **row(1)}), "another study .no 'origin'."),
        (line(1)[:-10], "line 2, is damaged"),
        (line(0), "line 2, repeats the run of an earlier line"),
        (line(1).replace(ORIGIN, "00000000"), "line 2, was made in a way that .*fingerprints.jsonl does not know"),
    ],
)
def test_a_damaged_or_foreign_row_is_refused_by_file_and_line(table: ResultTable, line: str, says: str) -> None:
    table.add([row(0)])
    with table.path.open("a") as file:
        file.write(line + "\n")
    before = table.path.read_bytes()
    with pytest.raises(ValueError, match=says) as error:
        table.rows()
    assert str(table.path) in str(error.value)
    with pytest.raises(ValueError, match=says):
        table.add([row(5)])
    assert table.path.read_bytes() == before


def test_provenance_names_no_path_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(__file__).parents[2] / "scripts" / "benchmark.py"
    monkeypatch.setattr("sys.argv", [str(script), "--results", "/home/somebody/results"])
    made = provenance("filelock")
    assert made["command"] == "python scripts/benchmark.py --results results"
    assert "filelock " in made["versions"]
    assert not any("/home" in text for text in made.values())


@pytest.mark.parametrize("study", KEYS)
def test_a_table_of_any_name_has_the_key_of_its_study(tmp_path: Path, study: str) -> None:
    assert ResultTable(tmp_path / "mine.jsonl", study).key == ResultTable(tmp_path / f"{study}.jsonl").key
    assert ResultTable(tmp_path / "mine.jsonl").key == ("env", "arm", "seed", "settings")


def test_a_measurement_may_be_written_to_a_file_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {"alone": {"wall_ratio": 1.0}}
    monkeypatch.setattr(benchmark_sb3, "measure", lambda options: measured)
    monkeypatch.setattr(sys, "argv", ["benchmark_sb3.py", "--output", str(tmp_path / "mine.jsonl")])
    benchmark_sb3.main()
    assert [row["agent"] for row in ResultTable(tmp_path / "mine.jsonl", "cost").rows()] == ["alone"]


COMMITTED = Path(__file__).parents[2] / "results"


def test_the_committed_results_are_at_most_twelve_files() -> None:
    assert len([path for path in COMMITTED.iterdir() if path.is_file()]) <= 12


def test_every_committed_row_says_what_it_was_made_with_and_no_fingerprint_is_left_over() -> None:
    tables = [ResultTable(path) for path in COMMITTED.glob("*.jsonl") if path.name != FILE]
    rows = [row for table in tables for row in table.rows()]
    assert all(isinstance(row[name], str) and row[name] for row in rows for name in FIELDS)
    used = {row["settings"] for row in rows if "settings" in row}
    used |= {fingerprint({name: row[name] for name in FIELDS}) for row in rows}
    assert Fingerprints(COMMITTED).known().keys() - used == set(), "lines to be deleted from the table"
