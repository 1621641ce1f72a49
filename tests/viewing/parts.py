"""What a figure consists of, in words and numbers: the same on every machine, whatever fonts and versions it has.

`python -m tests.viewing.test_pictures` writes it anew into `tests/viewing/pictures/`, where a change of a drawing shows
as a change of lines.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator


def parts(figure: Figure) -> list[str]:
    """A line for all that is drawn: the words of the figure and its parts, then axes by axes."""
    lines = [
        f"figure {numbers(figure.get_size_inches())}, {figure.dpi:g} dpi, {type(figure.get_layout_engine()).__name__}"
    ]
    for part in (figure, *figure.subfigs):
        lines += [f"part {numbers(part.bbox.bounds)}", *(_text(text) for text in part.texts)]
    return lines + [line for axes in figure.axes for line in _of_axes(axes)]


def numbers(values: object) -> str:
    """Rounded to what an eye could see."""
    return "[" + " ".join(f"{value + 0.0:.4g}" for value in np.ravel(np.asarray(values, dtype=np.float64))) + "]"


def _of_axes(axes: Axes) -> Iterator[str]:
    limits = f"x {numbers(axes.get_xlim())} y {numbers(axes.get_ylim())}"
    yield f"axes {numbers(axes.get_position().bounds)} {limits}{'' if axes.axison else ', bare'}"
    yield f"ticks {_ticks(axes.xaxis)}, {_ticks(axes.yaxis)}"
    yield f"titles {numbers(axes.titleOffsetTrans.get_matrix()[:2, 2])} off"
    if isinstance(axes.yaxis.get_major_locator(), FixedLocator):
        yield "rows " + ", ".join(label.get_text() for label in axes.get_yticklabels())
    named = [axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    yield from (_text(text) for text in named if text.get_text())
    yield from (_drawn(artist) for artist in [*axes.lines, *axes.patches, *axes.collections, *axes.images])
    if (legend := axes.get_legend()) is not None:
        yield "legend " + ", ".join(text.get_text() for text in legend.get_texts())


def _ticks(axis: Axis) -> str:
    told = axis.get_tick_params()
    return " ".join(str(told[name]) for name in ("labelsize", "color", "labelcolor") if name in told) or "as usual"


def _text(text: Text) -> str:
    words = text.get_text().replace("\n", " / ")
    how = f"{text.get_fontsize():g} {text.get_verticalalignment()} spaced {text._linespacing}"
    return f"text {words!r} at {numbers(text.get_position())} {to_hex(text.get_color())} {how}"


def _drawn(artist: Artist) -> str:
    layer = f"z {artist.get_zorder():g}, alpha {numbers(1.0 if artist.get_alpha() is None else artist.get_alpha())}"
    match artist:
        case Line2D():
            how = (
                f"{artist.get_linestyle()} {artist.get_linewidth():g} {artist.get_marker()} {artist.get_markersize():g}"
            )
            return f"line {numbers(artist.get_xydata())} {to_hex(artist.get_color())} {how}, {layer}"
        case Rectangle():
            box = numbers([*artist.get_xy(), artist.get_width(), artist.get_height()])
            return f"bar {box} {to_hex(artist.get_facecolor())}, {layer}"
        case LineCollection():
            how = f"{to_hex(artist.get_color()[0])} {numbers(artist.get_linewidth())}"
            return f"lines {numbers(artist.get_segments())} {how}, {layer}"
        case PolyCollection():
            how = f"{to_hex(artist.get_facecolor()[0])} {numbers(artist.get_linewidth())}"
            return f"band {numbers([path.vertices for path in artist.get_paths()])} {how}, {layer}"
        case AxesImage():
            how = f"{artist.get_cmap().name} {numbers(artist.get_clim())} {artist.get_interpolation()} {artist.origin}"
            where = f"{numbers(artist.get_extent())} aspect {artist.axes.get_aspect()}"
            return f"image {numbers(artist.get_array())} {how} {where}, {layer}"
    return f"{type(artist).__name__}, {layer}"
