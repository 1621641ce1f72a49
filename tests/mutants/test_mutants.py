"""The command that counts mutants, on a room made for it and on a few lines of the rules; the scores as told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mutants.__main__ import EQUIVALENT, MEASURED, PAGE, Options, measure, scores
from tests.mutants.mutation import NOTICED, ROOT, TESTS, make, run, survivor

CODE = """
class Scale:
    def __init__(self, gain):
        self.gain = gain

    def of(self, value):
        if value < 0:
            raise ValueError("a value below zero")
        return self.gain * value

    def between(self, low, high):
        return self.of(high) - self.of(low)

def unit():
    return 1

UNIT = unit()
"""
TEST = """
import pytest
from room import UNIT, Scale

def test_scale():
    assert Scale(3).of(2) == 6
    with pytest.raises(ValueError):
        Scale(3).of(-1)

def test_what_is_made_on_import():
    assert UNIT == 1

def test_between():
    assert Scale(3).between(0, 1) == 3
"""
SETTINGS = """
[tool.mutmut]
source_paths = ["room.py"]
pytest_add_cli_args_test_selection = ["tests"]
do_not_mutate_patterns = ['^\\s*raise\\b']
"""


def test_a_change_that_no_test_looks_at_is_told_from_one_that_a_test_notices(tmp_path) -> None:
    """`between` is tested at zero alone, where the sign of what is taken off does not matter."""
    (tmp_path / "tests").mkdir()
    for name, text in (("room.py", CODE), ("tests/test_room.py", TEST), ("pyproject.toml", SETTINGS)):
        (tmp_path / name).write_text(text)
    names = make(tmp_path)
    left = [survivor(tmp_path, name) for name, code in run(tmp_path, names, ("tests",)).items() if code not in NOTICED]
    (one,) = left
    assert (one.file, one.line) == ("room.py", 12)
    assert one.diff == "- return self.of(high) - self.of(low)\n+ return self.of(high) + self.of(low)"
    assert len(names) > len(left)


def test_changes_of_the_rules_are_noticed(tmp_path, monkeypatch) -> None:
    oracle = "tests/lrp/test_lstm_oracle.py::test_a_readout_of_the_cell_sends_relevance_into_the_cell"
    monkeypatch.setitem(TESTS, "rules.py", (oracle, "tests/lrp/test_by_hand.py"))
    row, left = measure(Options("rudder_lrp/lrp/rules.py", sample=8, seed=1), tmp_path)
    assert (row["sampled"], row["noticed"]) == (8, 8), [one.diff for one in left]


def test_contributing_says_the_scores_that_were_measured() -> None:
    assert scores(json.loads(MEASURED.read_text())) in PAGE.read_text()


def test_scores_say_how_they_were_made() -> None:
    for room, row in json.loads(MEASURED.read_text()).items():
        assert (
            row["command"]
            == f"python -m tests.mutants {room} --sample {row['command'].split()[5]} --seed {row['seed']}"
        )
        assert {"commit", "versions", "machine"} <= row.keys()
        assert 0 < row["noticed"] <= row["sampled"] - row["equivalent"]


@pytest.mark.parametrize("entry", json.loads(EQUIVALENT.read_text()), ids=lambda entry: entry["file"])
def test_what_is_said_to_change_nothing_is_still_in_the_code(entry) -> None:
    lines = [line.strip() for line in (ROOT / entry["file"]).read_text().splitlines()]
    removed = [line[1:].strip() for line in entry["change"].splitlines() if line.startswith("-")]
    assert removed
    assert set(removed) <= set(lines)
    assert entry["why"].endswith(".")


def test_every_room_that_is_named_has_tests() -> None:
    assert all((ROOT / path).exists() for paths in TESTS.values() for path in paths)
    assert all(Path(ROOT / "rudder_lrp" / room).exists() for room in TESTS if room != "rules.py")
