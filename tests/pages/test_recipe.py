"""What the page on how credit works says of the recipes is what the code does where nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from rudder_lrp.prediction.training_config import TrainingConfig, offline
from rudder_lrp.redistribution.config import ON_POLICY, REPLAYED

PAGE = (Path(__file__).parents[2] / "docs" / "credit.md").read_text()
ROWS = {
    cells[0]: cells[1:4]
    for line in PAGE.splitlines()
    if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 5
}
TRAININGS = (ON_POLICY.training, REPLAYED.training, offline(200))


def told_of(training: TrainingConfig) -> dict[str, str]:
    """The first number of each row."""
    return {
        "updates of a round": f"{training.updates:,}",
        "weight decay": f"{training.weight_decay:g}",
        "noise of the features": f"{training.noise:g}",
        "variation": f"{training.variation_weight:g}",
    }


@pytest.mark.parametrize("column", range(3))
def test_the_trainings_of_the_table_are_those_of_the_code(column: int) -> None:
    for choice, number in told_of(TRAININGS[column]).items():
        assert ROWS[choice][column].split()[0] == number


def test_the_lessons_and_cells_of_the_table_are_those_of_the_code() -> None:
    assert str(ON_POLICY.lesson_capacity) in ROWS["lessons"][0]
    assert str(REPLAYED.lesson_capacity) in ROWS["lessons"][1]
    assert f"{ON_POLICY.growth:g} times as many lessons" in ROWS["rounds"][0]
    assert f"every {REPLAYED.train_every} steps" in ROWS["rounds"][1]
    assert f"{ON_POLICY.members} members of {ON_POLICY.hidden_size // ON_POLICY.members}" in ROWS["cells"][0]
    assert ON_POLICY.structure.value in ROWS["cells"][0]
    assert f"{REPLAYED.hidden_size} in one {REPLAYED.structure.value}" in ROWS["cells"][1]
    assert f"on {REPLAYED.training.subset} steps" in ROWS["updates of a round"][1]
