from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from statistics import median, quantiles
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


def code() -> list[Path]:
    told = subprocess.run(["git", "-C", ROOT, "ls-files", "*.py"], capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in told.splitlines() if (ROOT / name).is_file()]


def lines_of(function: ast.FunctionDef) -> int:
    """From the first statement to the last, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) and function.body[1:] else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}: {node.name}": lines_of(node)
        for path in code()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert [name for name, lines in lengths.items() if lines > 30] == []
    assert median(lengths.values()) <= 5
    assert quantiles(lengths.values(), n=10)[-1] <= 14


def test_files_are_read_in_one_go() -> None:
    assert [str(path.relative_to(ROOT)) for path in code() if len(path.read_text().splitlines()) > 320] == []
