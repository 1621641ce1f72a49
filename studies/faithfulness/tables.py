"""The tables of the faithfulness page, put between its markers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from rudder_lrp.lstm import Structure
from studies.pages import table
from studies.results import ResultTable

Results = Mapping[str, Any]
Networks = Sequence[Mapping[str, Any]]
Measure = Callable[[Mapping[str, Any]], Any]

STRUCTURES = (Structure.STANDARD, Structure.MARKOV, Structure.ACCUMULATOR)


def results(folder: Path) -> Results:
    """What the result table holds: of the arithmetic by task, and of each network by length."""
    rows = ResultTable(folder / "faithfulness.jsonl").rows()
    networks: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted((row for row in rows if "length" in row), key=itemgetter("seed", "length")):
        recipe = {name: row[name] for name in ("structure", "forget_bias", "seed")}
        network = networks.setdefault(tuple(recipe.values()), recipe | {"lengths": {}})
        network["lengths"][str(row["length"])] = row
    order = [str(structure) for structure in STRUCTURES]
    sequences = sorted(
        networks.values(), key=lambda found: (found["seed"], order.index(found["structure"]), found["forget_bias"])
    )
    return {
        "arithmetic": {row["piece"]: row for row in rows if "length" not in row},
        "sequences": sequences,
        "rows": rows,
    }


def provenance(results: Results) -> str:
    """The commands, and what they ran with."""
    made = {
        f"`{row['command']}` ({row['versions']}; {row['machine']}; {row['commit']})": None for row in results["rows"]
    }
    return f"Made by {'; '.join(made)}."


def arithmetic(results: Results) -> str:
    """Correlations and the error of the sum by method, for both tasks."""
    tasks = ("addition", "subtraction")
    head = ["method", *(f"{task}: {name}" for task in tasks for name in ("ρ(R_a, n_a)", "ρ(R_b, n_b)", "sum error"))]
    rows = []
    for method in results["arithmetic"]["addition"]["scores"]:
        cells = [method]
        for task in tasks:
            scores = results["arithmetic"][task]["scores"][method]
            cells += [_correlation(scores["rho_a"]), _correlation(scores["rho_b"]), _error(scores["sum_error"]["mean"])]
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
    """Areas under the deletion and insertion curves by method and length, through standard LSTMs."""
    compared = compared_networks(results)
    rows = [[method, *cells(compared, method, _area("deletion"), _area("insertion"))] for method in _methods(compared)]
    return table(_head("method", compared), rows)


def credits(results: Results, structure: str) -> str:
    """Correlation with the deserved credit and leak, by method and length."""
    compared = compared_networks(results, structure)
    quality = [f"{prediction(compared, length):.3f}" for length in compared[0]["lengths"]]
    explained = [method for method in _methods(compared) if method not in ("truth", "random")]
    rows = [[method, *cells(compared, method, itemgetter("correlation"), itemgetter("leak"))] for method in explained]
    return table(_head("method", compared), [["*prediction*", *quality], *rows])


def costs(results: Results) -> str:
    """Processor time of an explanation in units of LRP-all's, by method and length."""
    compared = compared_networks(results)
    rows = []
    for method in _methods(compared):
        if method not in ("truth", "random"):
            both = zip(*(_milliseconds(compared, name) for name in (method, "LRP-all")), strict=True)
            rows.append([method, *("–" if own is None else f"{own / unit:.2g}" for own, unit in both)])
    return table(_head("method", compared), rows)


def structures(results: Results) -> str:
    """Prediction, correlation and leak of LRP-all of steps by structure, forget bias and length."""
    rows = []
    for (structure, bias), networks in by_kind(results).items():
        label = structure if structure == "accumulator" else f"{structure}, forget bias {bias:g}"
        explained = cells(networks, "LRP-all, steps", itemgetter("correlation"), itemgetter("leak"))
        lengths = networks[0]["lengths"]
        rows.append([label, *(f"{prediction(networks, n):.2f} / {e}" for n, e in zip(lengths, explained, strict=True))])
    return table(_head("network", results["sequences"]), rows)


def by_kind(results: Results) -> dict[tuple[str, float], list[dict[str, Any]]]:
    """Networks by structure and forget bias."""
    kinds: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for network in results["sequences"]:
        kinds.setdefault((network["structure"], network["forget_bias"]), []).append(network)
    return kinds


def compared_networks(results: Results, structure: str = "standard") -> list[dict[str, Any]]:
    """Those of a structure that all methods explained."""
    return [
        network
        for network in results["sequences"]
        if network["structure"] == structure and "occlusion" in next(iter(network["lengths"].values()))["scores"]
    ]


def mean(networks: Networks, length: str, method: str, measure: Measure) -> float | None:
    """Mean of a measure over networks; None where the method was not run, infinite where it overflowed."""
    scores = [network["lengths"][length]["scores"].get(method) for network in networks]
    if scores[0] is None:
        return None
    values = [measure(score) for score in scores]
    return float("inf") if None in values else float(np.mean(values))


def prediction(networks: Networks, length: str) -> float:
    """Mean correlation of predictions and answers."""
    return float(np.mean([network["lengths"][length]["prediction"] for network in networks]))


def cells(networks: Networks, method: str, *measures: Measure) -> list[str]:
    """One cell a length: means of the measures, a dash where the method was not run."""
    lengths = networks[0]["lengths"]
    return [_joined([mean(networks, length, method, measure) for measure in measures]) for length in lengths]


def _joined(values: Sequence[float | None]) -> str:
    return " / ".join("–" if v is None else f"{v:.2f}" if abs(v) < 100 else f"{v:.0e}" for v in values)


def _area(kind: str) -> Measure:
    return lambda score: np.mean(score[kind])


def _milliseconds(networks: Networks, method: str) -> list[float | None]:
    return [mean(networks, length, method, itemgetter("milliseconds")) for length in networks[0]["lengths"]]


def _methods(networks: Networks) -> list[str]:
    return list(next(iter(networks[0]["lengths"].values()))["scores"])


def _head(first: str, networks: Networks) -> list[str]:
    return [first, *(f"T = {length}" for length in networks[0]["lengths"])]


def _error(value: float | None) -> str:
    return "overflows" if value is None else f"{value:.1e}"


def _correlation(score: Mapping[str, float]) -> str:
    return f"{score['mean']:.4f} ({score['sd']:.4f})"


TABLES: Mapping[str, Callable[[Results], str]] = {
    "provenance": provenance,
    "networks": networks,
    "arithmetic": arithmetic,
    "ledger": ledger,
    "curves": curves,
    "credits standard": partial(credits, structure="standard"),
    "credits markov": partial(credits, structure="markov"),
    "costs": costs,
    "structures": structures,
}
