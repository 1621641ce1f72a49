"""What the pages Start and When it does not help say in numbers is in the committed results."""

from __future__ import annotations

import json

from scripts.figures import replaced, start_table
from tests.pages.balance import ROOT, rows, with_table


def test_wins_and_losses_stand_on_the_page_as_in_the_results() -> None:
    page = (ROOT / "docs" / "limits.md").read_text()
    assert with_table(page) == page
    ahead = [row.split("|")[-2].strip() for row in rows()[2:]]
    assert {"credit", "**without**"} <= set(ahead)


def test_the_numbers_of_the_first_page_are_those_of_its_result_file() -> None:
    record = json.loads((ROOT / "docs" / "figures" / "start.json").read_text())
    page = (ROOT / "docs" / "index.md").read_text()
    assert replaced(page, "compare", start_table(record)) == page


def test_on_the_first_page_every_seed_with_credit_is_above_every_seed_without() -> None:
    record = json.loads((ROOT / "docs" / "figures" / "start.json").read_text())
    finals = [[run["final_return"] for run in runs.values()] for runs in record["runs"].values()]
    assert [len(arm) for arm in finals] == [5, 5]
    assert min(finals[0]) > max(finals[1])
    assert not {100, 101, 102} & {int(seed) for seed in record["runs"]["with credit"]}
