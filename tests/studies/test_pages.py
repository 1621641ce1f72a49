from __future__ import annotations

import pytest

from studies.pages import fill, restate


def test_a_block_takes_the_place_of_what_stood_between_its_markers() -> None:
    page = "Before\n\n<!-- cost -->\nold\nolder\n<!-- end -->\nbetween\n<!-- way -->\n<!-- end -->\n"
    made = fill(page, {"cost": "new \\1", "way": "1.0"})
    assert made == "Before\n\n<!-- cost -->\nnew \\1\n<!-- end -->\nbetween\n<!-- way -->\n1.0\n<!-- end -->\n"
    assert fill(made, {"cost": "new \\1", "way": "1.0"}) == made
    with pytest.raises(ValueError, match="0 places for 'time'"):
        fill(page, {"time": ""})


def test_a_sentence_takes_new_numbers_and_keeps_its_line_breaks() -> None:
    page = "It ends at 0.84\nof the way, Monte Carlo\nat -3,000 (medians)."
    sentence = "ends at {} of the way, Monte Carlo at {} (medians)"
    assert restate(page, sentence, "0.9", 7) == "It ends at 0.9\nof the way, Monte Carlo\nat 7 (medians)."


@pytest.mark.parametrize(("page", "times"), [("It ends elsewhere.", 0), ("ends at 1 of it, ends at 2 of it", 2)])
def test_a_sentence_that_is_not_there_once_is_named(page: str, times: int) -> None:
    with pytest.raises(ValueError, match=f"{times} times"):
        restate(page, "ends at {} of", 3)
