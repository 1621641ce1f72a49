"""Explain recurrent classifiers of signals, where others made the task and the measures.

    python scripts/signals.py

The HMM / State task of time_interpret: the published GRU(200) and an LSTM, five folds; LRP beside Captum's methods, by
tint's metrics. JapaneseVowels from sktime's wheel: nine speakers. Finished pieces are kept under `--runs`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from rudder_lrp.storage import read_tensors, write_tensors
from studies.pieces import RESULTS, kept, record, write
from studies.signals import hidden_markov, japanese_vowels, tables
from studies.signals.measures import measure


@dataclass(frozen=True)
class Options:
    """What is run and where it goes."""

    quick: bool = False
    """A small version of everything, to see that it runs; its numbers mean nothing."""
    folds: int = 5
    """Of the HMM task, at most."""
    signals: int = 200
    """Test signals of the HMM task, at most."""
    cells: tuple[str, ...] = ("GRU", "LSTM")
    runs: Path = Path("runs/signals")
    output: Path = RESULTS
    page: Path = Path("docs/signals.md")


def run(options: Options) -> dict[str, Any]:
    """Measure what is not there yet."""
    data = hidden_markov.load(options.runs / "hmm")
    rows = [
        {"cell": cell, "fold": fold} | _fold(options, data, cell, fold)
        for fold in range(1 if options.quick else options.folds)
        for cell in options.cells
    ]
    vowels = kept(
        options.runs, "vowels", {"quick": options.quick}, lambda: japanese_vowels.measure(options.runs, options.quick)
    )
    return {"HMM / State": rows, "JapaneseVowels": vowels}


def _fold(options: Options, data: hidden_markov.Data, cell: str, fold: int) -> dict[str, Any]:
    settings = {"cell": cell, "fold": fold, "quick": options.quick, "signals": options.signals}
    signals = 5 if options.quick else options.signals
    return kept(
        options.runs,
        f"hmm {cell} {fold}",
        settings,
        lambda: measure(_trained(options, data, cell, fold), data, signals),
    )


def _trained(options: Options, data: hidden_markov.Data, cell: str, fold: int) -> hidden_markov.StateClassifier:
    """Train, or read what is trained already."""
    path = options.runs / f"{'quick_' * options.quick}{cell}_{fold}.safetensors"
    model = hidden_markov.StateClassifier(cell)
    if not path.is_file():
        model = hidden_markov.train(data, fold, cell, epochs=1 if options.quick else 50)
        write_tensors(path, dict(model.state_dict()), "HMM classifier", {})
    model.load_state_dict(read_tensors(path, "HMM classifier")[0])
    return model.eval()


def main() -> None:
    """Run from the command line."""
    torch.set_num_threads(1)
    options = tyro.cli(Options)
    try:
        result = run(options)
    except (OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    result = record("python scripts/signals.py") | result
    write(options.output, "signals", result)
    tables.fill(options.page, result)


if __name__ == "__main__":
    main()
