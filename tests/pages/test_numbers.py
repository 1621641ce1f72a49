"""What the first page and that of limits say in words is in the committed results, too."""

from __future__ import annotations

import json

from studies.balance import balance
from studies.comparison_report import RECORD
from tests.pages.test_readme import ROOT


def test_wins_and_losses_both_stand_in_the_table() -> None:
    ahead = {row.split("|")[-2].strip() for row in balance(ROOT / "results").splitlines()[2:]}
    assert {"credit", "**without**"} <= ahead


def test_on_the_first_page_every_seed_with_credit_is_above_every_seed_without() -> None:
    record = json.loads(RECORD.read_text())
    finals = [[run["final_return"] for run in runs.values()] for runs in record["runs"].values()]
    assert [len(arm) for arm in finals] == [5, 5]
    assert min(finals[0]) > max(finals[1])
    assert not {100, 101, 102} & {int(seed) for seed in record["runs"]["with credit"]}
