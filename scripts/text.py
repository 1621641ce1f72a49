"""Which words made the sentiment, and what happens when they are deleted.

    python scripts/text.py

Trains a bidirectional LSTM and a GRU five times on rated sentences of movie reviews, which pip fetches, explains them
by LRP and by Captum's methods and deletes words in the order of their relevance. Finished trainings are kept under
`--runs`; pages with coloured sentences lie there too. The tables go into the page.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro

from studies.pieces import RESULTS, kept, record, write
from studies.text import tables
from studies.text.corpus import sentences
from studies.text.study import RECIPES, Settings, measure


@dataclass(frozen=True)
class Options:
    """What is run and where it goes."""

    quick: bool = False
    """A small version of everything, to see that it runs; its numbers mean nothing."""
    trainings: int = Settings.trainings
    """Of each model; fewer make intervals that say less."""
    runs: Path = Path("runs/text")
    output: Path = RESULTS
    page: Path = Path("docs/text.md")


def run(options: Options) -> None:
    """Measure what is not there yet, write the result and the page."""
    settings = Settings(trainings=1, sentences=20, epochs=1) if options.quick else Settings()
    corpus = sentences(options.runs / "package")
    corpus = corpus[:: 20 if options.quick else 1]
    rows = [
        kept(
            options.runs,
            f"{name} {training}",
            asdict(settings),
            lambda name=name, training=training: measure(settings, name, training, corpus, options.runs),
        )
        for training in range(min(settings.trainings, options.trainings))
        for name in RECIPES
    ]
    result = record("python scripts/text.py") | {"settings": asdict(settings), "rows": rows}
    write(options.output, "text", result)
    tables.fill(options.page, result)


def main() -> None:
    """Run from the command line."""
    torch.set_num_threads(1)
    try:
        run(tyro.cli(Options))
    except OSError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
