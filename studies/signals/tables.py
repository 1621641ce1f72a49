"""Tables of the study on signals, between the markers of its page."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any


def fill(page: Path, result: dict[str, Any]) -> None:
    """Put the tables in the place of those of another run.

    Raises:
        ValueError: if the page lacks markers.
    """
    text = page.read_text()
    for name, table in (("hmm", _hmm(result["HMM / State"])), ("vowels", _vowels(result["JapaneseVowels"]))):
        before, begin, rest = text.partition(f"<!-- {name}: begin -->")
        _, end, after = rest.partition(f"<!-- {name}: end -->")
        if not (begin and end):
            raise ValueError(f"{page} must hold markers for {name}; add them where the table belongs")
        text = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    page.write_text(text)


def _hmm(rows: list[dict[str, Any]]) -> str:
    parts = []
    for cell in dict.fromkeys(row["cell"] for row in rows):
        own = [row for row in rows if row["cell"] == cell]
        accuracy = mean(row["accuracy"] for row in own)
        parts.append(f"**{cell}(200)**, {len(own)} folds, accuracy {accuracy:.3f}; means over the folds:")
        lines = ["| method | AUP | AUR | AUROC | AUPRC (folds) | seconds |", "|---|---|---|---|---|---|"]
        for name in own[0]["methods"]:
            found = [row["methods"][name] for row in own]
            scores = [f"{mean(one[metric] for one in found):.3f}" for metric in ("AUP", "AUR", "AUROC", "AUPRC")]
            folds = ", ".join(f"{one['AUPRC']:.3f}" for one in found)
            seconds = mean(one["seconds"] for one in found)
            lines.append(f"| {name} | {' | '.join(scores)} ({folds}) | {seconds:.1f} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _vowels(result: dict[str, Any]) -> str:
    told = f"Accuracy {result['accuracy']:.3f}; {result['utterances']} utterances that are classified rightly."
    lines = [
        "| method | faithfulness correlation | maximal sensitivity | left when random | seconds |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["methods"].items():
        left = list(row["randomisation"].values())[-1]
        lines.append(
            f"| {name} | {row['faithfulness correlation']:.3f} | {row['maximal sensitivity']:.3f} | {left:.2f} "
            f"| {row['seconds']:.2f} |"
        )
    return "\n".join([told, "", *lines])
