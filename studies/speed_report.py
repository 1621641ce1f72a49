"""How fast LRP is, from the result table."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from studies.json_lines import Row
from studies.pages import table
from studies.results import ResultTable

SPEED = "LRP by forward + backward"
STRUCTURES = ("standard", "markov", "minimal", "accumulator")
SHAPES = ("64, 200, 32, 64", "256, 200, 32, 64", "64, 1000, 32, 64", "32, 500, 64, 256", "1, 50, 32, 64")


def speeds(folder: Path) -> str:
    """LRP as a multiple of forward + backward, by shape and structure, with one thread and with two."""
    found = partial(_speed, folder)
    rows = []
    for shape in SHAPES:
        cases = [f"B, T, F, H = {shape}, {structure}" for structure in STRUCTURES]
        ratios = [" / ".join(f"{found(n, SPEED, case)['wall_ratio']}" for n in (1, 2)) for case in cases]
        rows.append([shape, *ratios, f"{found(1, SPEED, cases[0])['forward_ratio']}"])
    return table(["B, T, F, H", "standard", "Markov", "minimal", "accumulator", "forward"], rows)


def on_a_gpu(folder: Path) -> str:
    """LRP through each structure as a multiple of forward + backward, and training as a multiple of the processor's."""
    found = {row["case"]: row for row in _rows(folder) if row["part"] == "GPU"}
    rows = []
    for case, row in found.items():
        taken = f"{1000 * row['seconds']:.0f} ms" if "seconds" in row else f"{row['steps_per_second']:,} steps/s"
        rows.append([case, taken, f"{row['ratio']:.2f}"])
    return table(["", "", "ratio"], rows)


def times_faster(folder: Path) -> list[float]:
    """Than one sequence at a time and than integrated gradients, with one thread and with two."""
    rivals = ("one sample at a time, B = 64", "Captum's integrated gradients, 50 steps")
    return [_speed(folder, n, "times faster", rival)["wall_time"] for rival in rivals for n in (1, 2)]


def microseconds(folder: Path) -> list[float]:
    """Of a step and sequence, by length and by batch."""
    cases = ((8, 100), (8, 1000), (8, 10_000), (64, 100), (256, 100), (1024, 100))
    part = "microseconds a step and sequence"
    return [_speed(folder, 1, part, f"B = {batch}, T = {steps}")["microseconds"] for batch, steps in cases]


def peaks(folder: Path) -> list[float]:
    """By how much LRP, and forward + backward, lift the memory."""
    found = _speed(folder, 2, "MiB at the peak", f"B, T, F, H = {SHAPES[2]}")
    return [found["LRP"], found["autograd"]]


def range_of_speeds(folder: Path) -> list[str]:
    """Least and greatest ratio of LRP on long batches: standard, Markov, and where no gate sees the hidden state."""
    ends = []
    for structures in (["standard"], ["markov"], ["minimal", "accumulator"]):
        ratios = [
            _speed(folder, threads, SPEED, f"B, T, F, H = {shape}, {structure}")["wall_ratio"]
            for structure in structures
            for shape in SHAPES[:-1]
            for threads in (1, 2)
        ]
        ends += [min(ratios), max(ratios)]
    return [f"{ratio:.2f}" for ratio in ends]


def _speed(folder: Path, threads: int, part: str, case: str) -> Row:
    asked = ("cpu", threads, part, case)
    return next(row for row in _rows(folder) if ResultTable(Path("lrp_speed")).key_of(row) == asked)


def _rows(folder: Path) -> list[Row]:
    return ResultTable(folder / "lrp_speed.jsonl").rows()
