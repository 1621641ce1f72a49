"""Figures as small files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

_COLORS = 256


def save(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a PNG with a palette, a third of the size and the same to the eye."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=dpi)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").quantize(
            _COLORS, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE
        )
        few.save(path, optimize=True)
