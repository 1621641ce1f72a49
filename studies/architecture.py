"""The rooms of the library and the floors they stand on, read from its imports."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from html import escape
from pathlib import Path

import grimp

import rudder_lrp
from studies.pages import table

ROOT = "rudder_lrp"
DRAWING = Path("docs/figures/rooms.svg")

_WIDTH, _HEIGHT, _ROOM, _GAP = 640, 84, 150, 90  # of the drawing, a floor, a room and the space between rooms


def rooms() -> dict[str, set[str]]:
    """Each room, a package or a module right below the library, and the rooms that it imports from."""
    graph = grimp.build_graph(ROOT)
    names = {module.removeprefix(f"{ROOT}.") for module in graph.find_children(ROOT)} - {"__main__"}
    found: dict[str, set[str]] = {name: set() for name in sorted(names)}
    for importer in graph.modules:
        room = _room_of(importer)
        if room in found:
            imported = {_room_of(module) for module in graph.find_modules_directly_imported_by(importer)}
            found[room] |= (imported & names) - {room}
    return found


def _room_of(module: str) -> str:
    return module.removeprefix(f"{ROOT}.").partition(".")[0]


def floors(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """The rooms by floor, from the top: a room stands above all that it imports from.

    Raises:
        ValueError: if rooms import each other in a circle.
    """
    left, below, found = dict(imports), set[str](), list[list[str]]()
    while left:
        floor = sorted(room for room, imported in left.items() if imported <= below)
        if not floor:
            raise ValueError(f"{', '.join(sorted(left))} import each other in a circle")
        found.append(floor)
        below |= set(floor)
        for room in floor:
            del left[room]
    return found[::-1]


def described(imports: Mapping[str, set[str]]) -> str:
    """The rooms from the top, what each is for by its own first sentence, and what it imports from."""
    rows = []
    for at, floor in enumerate(levels := floors(imports)):
        for room in floor:
            purpose = _documented(room).splitlines()[0]
            rows.append([str(len(levels) - at), f"`{room}`", purpose, ", ".join(sorted(imports[room])) or "none"])
    return table(["floor", "room", "what it is for", "imports from"], rows)


def _documented(room: str) -> str:
    """What a room says of itself; it is read and not imported, since what it needs may not be installed."""
    package = Path(rudder_lrp.__path__[0]) / room
    source = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    return ast.get_docstring(ast.parse(source.read_text())) or ""


def drawn(imports: Mapping[str, set[str]]) -> str:
    """The same as an SVG: rooms as boxes on their floors, a line down to each that they import from."""
    at: dict[str, tuple[float, float]] = {}
    for floor, names in enumerate(floors(imports)):
        left = (_WIDTH - len(names) * (_ROOM + _GAP) + _GAP) / 2
        at |= {name: (left + place * (_ROOM + _GAP), 12.0 + floor * _HEIGHT) for place, name in enumerate(names)}
    height = max(y for _, y in at.values()) + 48
    lines = [_line(at[room], at[below]) for room in sorted(imports) for below in sorted(imports[room])]
    boxes = [_box(name, *place) for name, place in at.items()]
    style = "font-family:sans-serif;font-size:15px;text-anchor:middle"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" style="{style}">'
    return "\n".join([head, *lines, *boxes, "</svg>", ""])


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    line = f'x1="{x + _ROOM / 2:.0f}" y1="{y + 36:.0f}" x2="{to_x + _ROOM / 2:.0f}" y2="{to_y:.0f}"'
    return f'<line {line} stroke="#888888" stroke-width="1"/>'


def _box(name: str, x: float, y: float) -> str:
    box = f'<rect x="{x:.0f}" y="{y:.0f}" width="{_ROOM}" height="36" rx="6" fill="#d9efec" stroke="#00796b"/>'
    return f'{box}<text x="{x + _ROOM / 2:.0f}" y="{y + 23:.0f}" fill="#222222">{escape(name)}</text>'
