"""Figures as small files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

_COLORS = 64


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a PNG with a palette, a third of the size and the same to the eye."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=dpi)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(drawn) as picture:
        _few_colors(picture).save(path, optimize=True)


def reduce(path: Path) -> None:
    """The same for a picture that is there; one with a palette stays as it is."""
    with Image.open(path) as picture:
        if picture.mode != "P":
            _few_colors(picture).save(path, optimize=True)


def _few_colors(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").quantize(
        _COLORS, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE
    )
