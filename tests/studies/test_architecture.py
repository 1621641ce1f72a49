from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from studies import architecture

ROOT = Path(__file__).parents[2]


def test_the_drawing_is_made_from_the_imports() -> None:
    assert (ROOT / architecture.DRAWING).read_text() == architecture.drawn(architecture.rooms())


def test_there_are_thirteen_rooms_on_six_floors_and_each_says_what_it_is_for() -> None:
    rooms = architecture.rooms()
    assert (len(rooms), len(architecture.floors(rooms))) == (13, 6)
    assert rooms["sb3"] >= {"redistribution", "persistence"}
    assert len(ElementTree.fromstring(architecture.drawn(rooms)).findall("{*}rect")) == 13


def test_a_room_stands_above_all_that_it_imports_from() -> None:
    assert architecture.floors({"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": {"c"}}) == [["a"], ["b", "d"], ["c"]]


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="a, b import each other"):
        architecture.floors({"a": {"b"}, "b": {"a"}})
