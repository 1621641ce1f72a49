"""Counts the mutants of a room that a test notices, lists the others, and writes the score down.

`python -m tests.mutants rudder_lrp/lrp --sample 150 --seed 0`: a room is a folder or a module of `rudder_lrp/`. Its
score goes into `tests/mutants/measured.json` and from there, with all others, into the table of CONTRIBUTING.md. What
changes nothing that a test could see is in `tests/mutants/equivalent.json`, with the reason, and does not count.
"""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from studies.pages import fill, table
from studies.provenance import provenance
from tests.mutants.mutation import NOTICED, ROOT, Survivor, make, prepare, run, survivor, tests_of

HERE = Path(__file__).parent
MEASURED, EQUIVALENT, PAGE = HERE / "measured.json", HERE / "equivalent.json", ROOT / "CONTRIBUTING.md"


@dataclass(frozen=True)
class Options:
    """What is mutated and how often."""

    room: Annotated[str, tyro.conf.Positional]
    sample: int = 60
    seed: int = 0
    folder: Path | None = None
    """Where the mutants are kept to look at, or made again where the code has changed; nowhere unless given."""
    output: Path = MEASURED


def measure(options: Options, folder: Path) -> tuple[dict[str, Any], list[Survivor]]:
    """Sampled and noticed mutants of the room, and those that no test noticed."""
    command = f"python -m tests.mutants {options.room} --sample {options.sample} --seed {options.seed}"
    made = provenance("mutmut") | {"command": command, "seed": options.seed}
    prepare(options.room, folder)
    names = make(folder)
    drawn = random.Random(options.seed).sample(names, min(options.sample, len(names)))
    codes = run(folder, drawn, tests_of(options.room))
    found = [survivor(folder, name) for name in sorted(drawn) if codes[name] not in NOTICED]
    left = [one for one in found if not changes_nothing(one)]
    counts = {"mutants": len(names), "sampled": len(drawn), "equivalent": len(found) - len(left)}
    return made | counts | {"noticed": len(drawn) - len(found)}, left


def changes_nothing(one: Survivor) -> bool:
    """Whether somebody has looked at this change and said why nothing can come of it."""
    known: list[dict[str, str]] = json.loads(EQUIVALENT.read_text())
    return any((one.file, one.diff) == (entry["file"], entry["change"]) for entry in known)


def score(row: dict[str, Any]) -> str:
    """Noticed ones in percent of those that change anything."""
    return f"{100 * row['noticed'] / (row['sampled'] - row['equivalent']):.0f} %"


def scores(measured: dict[str, dict[str, Any]]) -> str:
    """All that was measured, as a table in Markdown."""
    rows = [
        [f"`{room}`", *(str(row[name]) for name in ("mutants", "sampled", "equivalent", "noticed")), score(row)]
        for room, row in measured.items()
    ]
    return table(["room", "mutants", "sampled", "change nothing", "noticed", "score"], rows)


def write(options: Options, row: dict[str, Any]) -> None:
    """Put a room's score beside those of the others, and all of them into CONTRIBUTING.md."""
    known = json.loads(options.output.read_text()) if options.output.is_file() else {}
    measured = dict(sorted({**known, options.room: row}.items()))
    options.output.write_text(json.dumps(measured, indent=1) + "\n")
    if options.output == MEASURED:
        PAGE.write_text(fill(PAGE.read_text(), {"mutants": scores(measured)}))


def main() -> None:
    """Run from the command line."""
    options = tyro.cli(Options)
    with tempfile.TemporaryDirectory() as passing:
        row, left = measure(options, options.folder or Path(passing))
    for one in left:
        print(f"{one.file}:{one.line}\n{one.diff}\n")
    print(f"{row['noticed']} of {row['sampled'] - row['equivalent']} mutants of {options.room} noticed")
    write(options, row)


if __name__ == "__main__":
    main()
