"""Measure how faithful explanations are, where the truth is known; write results, tables and figures.

    python scripts/faithfulness.py

Two tasks: one-cell LSTMs that add or subtract two marked numbers (after Arras et al. 2019), and sums over marked steps,
where all methods are compared by length (credit, deletion and insertion curves, cost) and LRP-all by forget bias and
structure. Each finished piece becomes rows of `results/faithfulness.jsonl`, so that an interrupted run goes on where
it stopped. The tables go between the markers of the page, the figures beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from studies.faithfulness import tables
from studies.faithfulness.figures import write_figures
from studies.faithfulness.study import ArithmeticStudy, SequenceStudy, measure_arithmetic, measure_recipe
from studies.fingerprints import fingerprint
from studies.json_lines import Row
from studies.pages import fill
from studies.pieces import rounded
from studies.provenance import provenance
from studies.results import FOLDER, ResultTable


@dataclass(frozen=True)
class Options:
    """Measure how faithful explanations are."""

    quick: bool = False
    """A small version of everything, to see that it runs; its numbers mean nothing."""
    results: Path = FOLDER
    """Folder of the result table."""
    page: Path = Path("docs/faithfulness.md")
    """The page that gets the tables; the figures lie beside it."""


@dataclass(frozen=True)
class Piece:
    """A part of the study that is measured in one go."""

    name: str
    settings: dict[str, Any]
    measure: Callable[[], list[Row]]

    def rows(self) -> Iterator[Row]:
        """Measure it."""
        for row in self.measure():
            name = f"{self.name}, T = {row['length']}" if "length" in row else self.name
            yield {"piece": name, "settings": fingerprint(self.settings)} | rounded(row) | provenance("captum")


def pieces(arithmetic: ArithmeticStudy, sequences: SequenceStudy) -> Iterator[Piece]:
    """All of both tasks."""
    for task in ("addition", "subtraction"):
        yield Piece(task, asdict(arithmetic), lambda task=task: [measure_arithmetic(arithmetic, task)])
    for recipe, methods in sequences.jobs():
        settings = {"recipe": asdict(recipe), "methods": methods, "lengths": sequences.lengths, "seed": sequences.seed}
        name = f"{recipe.structure}, forget bias {recipe.forget_bias:g}, seed {recipe.seed}"
        yield Piece(name, settings, lambda r=recipe, m=methods: measure_recipe(sequences, r, m))


def run(options: Options) -> None:
    """Measure what is not there yet.

    Raises:
        ValueError: if a quick run is to replace true results, or the table cannot be read.
    """
    if options.quick and options.results == FOLDER:
        raise ValueError("the numbers of a quick run mean nothing; give it --results and --page of its own")
    arithmetic = ArithmeticStudy.quick() if options.quick else ArithmeticStudy()
    sequences = SequenceStudy.quick() if options.quick else SequenceStudy()
    table = ResultTable(options.results / "faithfulness.jsonl")
    done = {(row["piece"].partition(", T = ")[0], row["settings"]) for row in table.rows()}
    for piece in pieces(arithmetic, sequences):
        if (piece.name, fingerprint(piece.settings)) not in done:
            start = time.process_time()
            table.add(list(piece.rows()))
            print(f"{piece.name:<40} {time.process_time() - start:7.1f} processor seconds", flush=True)


def write(options: Options) -> None:
    """Write the tables into the page and the figures beside it."""
    results = tables.results(options.results)
    options.page.write_text(fill(options.page.read_text(), {name: t(results) for name, t in tables.TABLES.items()}))
    write_figures(options.page.parent, results)
    print(f"written to {options.page} and the figures beside it")


def main() -> None:
    """Run from the command line; a mistake in the arguments ends in one sentence and exit status 1."""
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    try:
        run(options)
        write(options)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
