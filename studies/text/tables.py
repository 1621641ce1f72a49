"""Tables of the study on sentences, between the markers of its page."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import mean
from typing import Any

Row = dict[str, Any]
TRAININGS = 5
"""For intervals that mean something."""
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


def fill(page: Path, result: dict[str, Any]) -> None:
    """Put the tables in the place of those of another run.

    Raises:
        ValueError: if the page has no markers.
    """
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} must hold {BEGIN} and {END}; add them where the tables belong")
    page.write_text("\n\n".join([before + BEGIN, *_tables(result["rows"]), END + after]))


def _tables(rows: list[Row]) -> list[str]:
    return [part for name in dict.fromkeys(row["model"] for row in rows) for part in _of_model(name, rows)]


def _of_model(name: str, rows: list[Row]) -> list[str]:
    own = [row for row in rows if row["model"] == name]
    told = (
        f"**{name}**, {len(own)} of {TRAININGS} trainings: accuracy {mean(row['accuracy'] for row in own):.3f}, "
        f"{mean(row['sentences'] for row in own):.0f} sentences of ten words or more each."
    )
    return [told, _deletion(own), _randomisation(own), _negation(own)]


def _deletion(rows: list[Row]) -> str:
    best = max(mean(_of(rows, name, "area")) for name in rows[0]["methods"])
    lines = ["| method | area (95 %) | right after 5 | wrong, right after 5 | seconds |", "|---|---|---|---|---|"]
    for name in rows[0]["methods"]:
        areas = _of(rows, name, "area")
        low, high = interval(areas)
        area = f"{mean(areas):.3f}" + f" ({low:.3f} to {high:.3f})" * (len(areas) > 1)
        area = f"**{area}**" if mean(areas) == best else area
        ends = [mean(curve[-1] for curve in _of(rows, name, side)) for side in ("falling", "rising")]
        seconds = mean(_of(rows, name, "seconds"))
        lines.append(f"| {name} | {area} | {ends[0]:.3f} | {ends[1]:.3f} | {seconds:.2f} |")
    return "\n".join(lines)


def _of(rows: list[Row], method: str, what: str) -> list[Any]:
    return [row["methods"][method][what] for row in rows]


def _randomisation(rows: list[Row]) -> str:
    methods, layers = list(rows[0]["randomisation"]), list(next(iter(rows[0]["randomisation"].values())))
    lines = ["| random from the top down to | " + " | ".join(layers) + " |", "|---" * (len(layers) + 1) + "|"]
    for name in methods:
        found = [mean(row["randomisation"][name][layer] for row in rows) for layer in layers]
        lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in found) + " |")
    return "\n".join(lines)


def _negation(rows: list[Row]) -> str:
    lines = ["| phrase | logit | relevance of its words, LRP-all |", "|---|---|---|"]
    for phrase in rows[0]["negation"]:
        told = [row["negation"][phrase] for row in rows]
        parts = [mean(values) for values in zip(*(one["relevance"] for one in told), strict=True)]
        words = ", ".join(f"{word} {value:+.2f}" for word, value in zip(phrase.split(), parts, strict=True))
        lines.append(f"| {phrase} | {mean(one['logit'] for one in told):+.2f} | {words} |")
    return "\n".join(lines)


def interval(values: list[float], draws: int = 2_000) -> tuple[float, float]:
    """Bootstrap interval of the mean at 95 %; the same for the same values."""
    source = random.Random(0)
    means = sorted(mean(source.choices(values, k=len(values))) for _ in range(draws))
    return means[round(0.025 * draws)], means[round(0.975 * draws) - 1]
