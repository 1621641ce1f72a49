"""Measure how faithful explanations are, where the truth is known; write results, tables and figures.

    python scripts/faithfulness.py

Two tasks: one-cell LSTMs that add or subtract two marked numbers (after Arras et al. 2019), and sums over marked steps,
where all methods are compared by length (credit, deletion and insertion curves, cost) and LRP-all by forget bias and
structure. Each finished piece is kept under `--runs`, so that an interrupted run goes on where it stopped. The tables
go between the markers of the page, the figures beside it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import tyro

from rudder_lrp.versions import environment_versions
from studies.faithfulness import figures, tables
from studies.faithfulness.study import ArithmeticStudy, SequenceStudy, measure_arithmetic, measure_recipe


@dataclass(frozen=True)
class Options:
    """Measure how faithful explanations are."""

    quick: bool = False
    """A small version of everything, to see that it runs; its numbers mean nothing."""
    runs: Path = Path("runs/faithfulness")
    """Finished pieces, kept for resuming."""
    output: Path = Path("results/faithfulness.json")
    """The result file."""
    page: Path = Path("docs/faithfulness.md")
    """The page that gets the tables; the figures lie beside it."""


def run(options: Options) -> dict[str, Any]:
    """Measure what is not there yet and collect everything."""
    arithmetic = ArithmeticStudy.quick() if options.quick else ArithmeticStudy()
    sequences = SequenceStudy.quick() if options.quick else SequenceStudy()
    results: dict[str, Any] = {"arithmetic": {}, "sequences": []}
    for task in ("addition", "subtraction"):
        results["arithmetic"][task] = _kept(
            options.runs,
            f"arithmetic_{task}",
            asdict(arithmetic),
            lambda task=task: measure_arithmetic(arithmetic, task),
        )
    for recipe, methods in sequences.jobs():
        settings = {"recipe": asdict(recipe), "methods": methods, "lengths": sequences.lengths, "seed": sequences.seed}
        name = f"{recipe.structure}_{recipe.forget_bias:g}_{recipe.seed}"
        results["sequences"].append(
            _kept(options.runs, name, settings, lambda r=recipe, m=methods: measure_recipe(sequences, r, m))
        )
    return results


def _kept(folder: Path, name: str, settings: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Load a finished piece, or make it."""
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"{name}_{fingerprint}.json"
    if not path.is_file():
        start = time.process_time()
        result = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(result))
        partial.replace(path)
        print(f"{name:<24} {time.process_time() - start:7.1f} processor seconds", flush=True)
    kept: dict[str, Any] = json.loads(path.read_text(), parse_constant=lambda _: None)  # where LRP-prop overflowed
    return kept


def write(options: Options, results: dict[str, Any]) -> None:
    """Write the result file, the tables into the page and the figures beside it."""
    record = {
        "command": shlex.join(["python", *sys.argv]),
        "versions": environment_versions() | {"captum": version("captum")},
        **results,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(_rounded(record), allow_nan=False) + "\n")
    tables.fill(options.page, record)
    for name, draw in figures.FIGURES.items():
        draw(results).savefig(options.page.with_name(f"faithfulness_{name}.png"), dpi=110)
    print(f"written to {options.output}, {options.page} and the figures beside it")


def _rounded(value: Any) -> Any:
    """The same with five significant digits."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    """Run from the command line."""
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    write(options, run(options))


if __name__ == "__main__":
    main()
