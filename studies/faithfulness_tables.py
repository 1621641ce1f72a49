"""The tables of the faithfulness page, put between its markers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Results = Mapping[str, Any]


def fill(page: Path, results: Results) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->` by the table of that name."""
    text = page.read_text() if page.is_file() else "\n\n".join(f"<!-- {name} -->\n<!-- end -->" for name in TABLES)
    for name, table in TABLES.items():
        block = f"<!-- {name} -->\n{table(results)}\n<!-- end -->"
        text = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _, block=block: block, text, flags=re.DOTALL)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text)


def provenance(results: Results) -> str:
    """The command, and what it ran with."""
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items())
    return f"Made by `{results['command']}` ({versions})."


def arithmetic(results: Results) -> str:
    """Correlations and the error of the sum by method, for both tasks."""
    tasks = ("addition", "subtraction")
    head = ["method", *(f"{task}: {name}" for task in tasks for name in ("ρ(R_a, n_a)", "ρ(R_b, n_b)", "sum error"))]
    rows = []
    for method in results["arithmetic"]["addition"]["scores"]:
        cells = [method]
        for task in tasks:
            scores = results["arithmetic"][task]["scores"][method]
            cells += [_correlation(scores[name]) for name in ("rho_a", "rho_b")] + [
                f"{scores['sum_error']['mean']:.1e}"
            ]
        rows.append(cells)
    return table(head, rows)


def networks(results: Results) -> str:
    """How many networks were trained, and how well."""
    return "\n".join(
        f"- {task}: the first {len(of_task['seeds'])} of {of_task['candidates']} seeds that got there, largest "
        f"held-out mean squared error {of_task['largest_error']:.1e}"
        for task, of_task in results["arithmetic"].items()
    )


def ledger(results: Results) -> str:
    """Where the relevance of LRP-all ended, by stabilizer, averaged over both tasks."""
    tasks = [of_task["ledger"] for of_task in results["arithmetic"].values()]
    entries = [entry for entry in tasks[0]["LRP-all"] if any(t[m][entry] > 1e-6 for t in tasks for m in t)]
    rows = [
        [method, *(f"{100 * np.mean([task[method][entry] for task in tasks]):.2f} %" for entry in entries)]
        for method in tasks[0]
    ]
    return table(["method", *(entry.replace("_", " ") for entry in entries)], rows)


def curves(results: Results) -> str:
    """Areas under the deletion and insertion curves by method and length."""
    compared = compared_networks(results)
    lengths = list(compared[0]["lengths"])
    head = ["method", *(f"T = {length}" for length in lengths)]
    rows = []
    for method in compared[0]["lengths"][lengths[0]]["scores"]:
        areas = [
            [
                mean(compared, length, method, lambda s, kind=kind: np.mean(s[kind]))
                for kind in ("deletion", "insertion")
            ]
            for length in lengths
        ]
        rows.append([method, *(_pair(*of_length) for of_length in areas)])
    return table(head, rows)


def credits(results: Results) -> str:
    """Correlation with the deserved credit, by method and length."""
    compared = compared_networks(results)
    lengths = list(compared[0]["lengths"])
    rows = [
        [
            method,
            *(
                _pair(*(mean(compared, n, method, lambda s, k=k: s[k]) for k in ("correlation", "leak")))
                for n in lengths
            ),
        ]
        for method in compared[0]["lengths"][lengths[0]]["scores"]
        if method not in ("truth", "random")
    ]
    quality = [
        "*prediction*",
        *(f"{np.mean([n['lengths'][length]['prediction'] for n in compared]):.3f}" for length in lengths),
    ]
    return table(["method", *(f"T = {length}" for length in lengths)], [quality, *rows])


def costs(results: Results) -> str:
    """Processor time of an explanation in units of LRP-all's, by method and length."""
    compared = compared_networks(results)
    lengths = list(compared[0]["lengths"])
    rows = []
    for method, score in compared[0]["lengths"][lengths[0]]["scores"].items():
        if "milliseconds" in score:
            own = [mean(compared, length, method, lambda s: s["milliseconds"]) for length in lengths]
            unit = [mean(compared, length, "LRP-all", lambda s: s["milliseconds"]) for length in lengths]
            rows.append([method, *("–" if a is None else f"{a / b:.3g}" for a, b in zip(own, unit, strict=True))])
    return table(["method", *(f"T = {length}" for length in lengths)], rows)


def structures(results: Results) -> str:
    """Prediction, correlation and leak of LRP-all by structure, forget bias and length."""
    lengths = list(results["sequences"][0]["lengths"])
    rows = []
    for (structure, bias), of_kind in by_kind(results).items():
        label = structure if structure == "accumulator" else f"{structure}, forget bias {bias:g}"
        cells = []
        for length in lengths:
            quality = np.mean([n["lengths"][length]["prediction"] for n in of_kind])
            score = [mean(of_kind, length, "LRP-all", lambda s, k=k: s[k]) for k in ("correlation", "leak")]
            cells.append(f"{quality:.2f} / {_pair(*score)}")
        rows.append([label, *cells])
    return table(["network", *(f"T = {length}" for length in lengths)], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by_kind(results: Results) -> dict[tuple[str, float], list[dict[str, Any]]]:
    """Networks by structure and forget bias."""
    kinds: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for network in results["sequences"]:
        kinds.setdefault((network["structure"], network["forget_bias"]), []).append(network)
    return kinds


def compared_networks(results: Results) -> list[dict[str, Any]]:
    """Those that all methods explained."""
    counts = [len(network["lengths"][next(iter(network["lengths"]))]["scores"]) for network in results["sequences"]]
    return [network for network, count in zip(results["sequences"], counts, strict=True) if count == max(counts)]


def mean(
    networks: Sequence[Mapping[str, Any]], length: str, method: str, measure: Callable[[Any], Any]
) -> float | None:
    """Mean of a measure over networks, None where the method was not run."""
    scores = [network["lengths"][length]["scores"].get(method) for network in networks]
    return None if scores[0] is None else float(np.mean([measure(score) for score in scores]))


def _correlation(score: Mapping[str, float]) -> str:
    return f"{score['mean']:.4f} ({score['sd']:.4f})"


def _pair(one: float | None, other: float | None) -> str:
    if one is None or other is None:
        return "–"
    return f"{one:.2f} / {other:.2f}" if abs(other) < 100 else f"{one:.2f} / {other:.0e}"


TABLES: Mapping[str, Callable[[Results], str]] = {
    "provenance": provenance,
    "networks": networks,
    "arithmetic": arithmetic,
    "ledger": ledger,
    "curves": curves,
    "credits": credits,
    "costs": costs,
    "structures": structures,
}
