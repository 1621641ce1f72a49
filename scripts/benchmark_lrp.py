"""How fast LRP is: ratios to forward + backward of the same `nn.LSTM`, to other methods, and scaling.

    python scripts/benchmark_lrp.py --threads 2

Everything is measured in turn within one process, a number is the median over the rounds of CPU or device time, and a
ratio compares numbers of the same rounds. On the CPU that is the CPU time of the process, all threads together, so
that what else the machine does counts little; wall time is written down beside it. Runs on a GPU with `--device cuda`.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn

from rudder_lrp.lrp import LRP, reference
from rudder_lrp.lrp.rules import Rules, epsilon, signal_takes_all
from rudder_lrp.lstm import Structure, constrain_
from studies.provenance import provenance
from studies.results import FOLDER, ResultTable

Rows = Iterator[tuple[str, dict[str, float]]]
"""Cases and their numbers."""

SHAPES = ((64, 200, 32, 64), (256, 200, 32, 64), (64, 1000, 32, 64), (32, 500, 64, 256), (1, 50, 32, 64))


@dataclass
class Config:
    """What to measure."""

    threads: int = 2
    rounds: int = 7
    device: str = "cpu"
    structures: tuple[Structure, ...] = (
        Structure.STANDARD,
        Structure.MARKOV,
        Structure.MINIMAL,
        Structure.ACCUMULATOR,
    )
    output: Path = FOLDER / "lrp_speed.jsonl"
    """The result table."""
    longest: int = 10_000
    """Steps of the longest sequence, for the scaling."""
    largest: int = 1024
    """Sequences of the largest batch, for the scaling."""


@dataclass
class Model:
    """An LSTM with its readout and a batch."""

    lstm: nn.LSTM
    readout: nn.Linear
    x: Tensor

    @classmethod
    def random(cls, shape: tuple[int, int, int, int], structure: Structure, device: str) -> Model:
        """The same weights and inputs each time for `(B, T, F, H)`."""
        batch, steps, features, hidden = shape
        torch.manual_seed(0)
        lstm, readout = nn.LSTM(features, hidden, batch_first=True), nn.Linear(hidden, 1)
        constrain_(lstm, structure)
        return cls(lstm.to(device), readout.to(device), torch.randn(batch, steps, features).to(device))

    def forward_backward(self) -> None:
        """What training or a gradient explanation costs: gradients of inputs and weights."""
        outputs, _ = self.lstm(self.x.requires_grad_())
        self.readout(outputs[:, -1]).sum().backward()

    @torch.no_grad()
    def forward(self) -> None:
        """What every explanation pays before its own work begins."""
        self.readout(self.lstm(self.x)[0][:, -1])

    def explain(self, structure: Structure) -> Callable[[], object]:
        """LRP-all of the batch."""
        lrp = LRP(self.lstm, self.readout, reads="cell" if structure.reads_cell else "hidden")
        return lambda: lrp.attribute(self.x.detach())


def seconds(functions: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, tuple[float, float]]:
    """Median CPU (or device) time and wall time of each function, measured in turn after one warm-up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            if device != "cpu":
                torch.cuda.synchronize()
            spent = time.perf_counter() - wall
            if turn:
                times[name].append((time.process_time() - cpu if device == "cpu" else spent, spent))
    return {
        name: (statistics.median(t for t, _ in taken), statistics.median(t for _, t in taken))
        for name, taken in times.items()
    }


def against_autograd(config: Config) -> Rows:
    """LRP through each structure, as ratios to forward + backward through the same weights."""
    for shape, structure in product(SHAPES, config.structures):
        model = Model.random(shape, structure, config.device)
        functions = {
            "autograd": model.forward_backward,
            "LRP": model.explain(structure),
            "forward": model.forward,
        }
        taken = seconds(functions, config.rounds, config.device)
        yield (
            f"{_named(shape)}, {structure}",
            {
                "ratio": round(taken["LRP"][0] / taken["autograd"][0], 3),
                "wall_ratio": round(taken["LRP"][1] / taken["autograd"][1], 3),
                "forward_ratio": round(taken["forward"][0] / taken["autograd"][0], 3),
                "autograd_milliseconds": round(1000 * taken["autograd"][0], 2),
            },
        )


def _named(shape: tuple[int, int, int, int]) -> str:
    return f"B, T, F, H = {', '.join(map(str, shape))}"


def against_others(config: Config) -> Rows:
    """How many times faster than one sample after the other, and than integrated gradients at 50 steps."""
    model = Model.random(SHAPES[0], Structure.STANDARD, config.device)
    functions = {"LRP": model.explain(Structure.STANDARD), "one sample": lambda: _step_by_step(model)}
    times = {"one sample at a time, B = 64": ("one sample", len(model.x))}
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        print('Captum is missing, so there is no comparison with it: pip install "rudder-lrp[attribution]"')
    else:
        gradients = IntegratedGradients(lambda x: model.readout(model.lstm(x)[0][:, -1]))
        functions["IG"] = lambda: gradients.attribute(model.x.detach(), target=0, n_steps=50, internal_batch_size=640)
        times["Captum's integrated gradients, 50 steps"] = ("IG", 1)
    taken = seconds(functions, config.rounds, config.device)
    for name, (rival, calls) in times.items():
        processor, wall = (round(taken[rival][at] * calls / taken["LRP"][at], 1) for at in range(2))
        yield name, {"processor_time": processor, "wall_time": wall}


def _step_by_step(model: Model) -> None:
    """The slow formulation on one sequence, in the same precision."""
    x = model.x[0].detach()
    R = torch.zeros(len(x), model.lstm.hidden_size, device=x.device)
    R[-1] = 1.0
    with torch.no_grad():
        reference.attribute(model.lstm, x, R, Rules(signal_takes_all, epsilon, 1e-3, False))


def scaling(config: Config) -> Rows:
    """Microseconds a step and sequence; the same number everywhere means linear."""
    for batch, steps in (
        *((8, T) for T in (100, 1000, config.longest)),
        *((B, 100) for B in (64, 256, config.largest)),
    ):
        taken = _microseconds_a_step((batch, steps, 32, 64), config)
        yield f"B = {batch}, T = {steps}", {"microseconds": round(taken, 2)}


def _microseconds_a_step(shape: tuple[int, int, int, int], config: Config) -> float:
    model = Model.random(shape, Structure.STANDARD, config.device)
    taken = seconds({"LRP": model.explain(Structure.STANDARD)}, 3, config.device)
    return 1e6 * taken["LRP"][0] / (shape[0] * shape[1])


def peak_memory(config: Config) -> Rows:
    """By how many MiB each pass lifts the memory of a fresh process (or the device), and the ratio."""
    peaks = {}
    for name in ("autograd", "LRP"):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            peaks[name] = fresh.submit(_peak, name, config.device).result()
    ratio = peaks["LRP"] / peaks["autograd"]
    yield _named(SHAPES[2]), {name: round(peak, 1) for name, peak in peaks.items()} | {"ratio": round(ratio, 3)}


def _peak(name: str, device: str) -> float:
    def function(shape: tuple[int, int, int, int]) -> Callable[[], object]:
        model = Model.random(shape, Structure.STANDARD, device)
        return model.forward_backward if name == "autograd" else model.explain(Structure.STANDARD)

    def peak() -> float:
        if device == "cpu":
            # Of this process alone (Linux); what getrusage says includes the process that started it.
            return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024
        return float(torch.cuda.max_memory_allocated()) / 2**20

    torch.set_num_threads(1)
    function((2, 5, 32, 64))()  # what libraries load at first use does not count
    measured = function(SHAPES[2])
    before = peak()
    measured()
    return peak() - before


PARTS: dict[str, Callable[[Config], Rows]] = {
    "LRP by forward + backward": against_autograd,
    "times faster": against_others,
    "microseconds a step and sequence": scaling,
    "MiB at the peak": peak_memory,
}


def main(config: Config) -> None:
    """Measure, print and write the rows, one after the other."""
    torch.set_num_threads(config.threads)
    table = ResultTable(config.output, "lrp_speed")
    for part, measure in PARTS.items():
        for case, numbers in measure(config):
            print(part, case, numbers, flush=True)
            key = {"device": config.device, "threads": config.threads, "part": part, "case": case}
            table.add([key | {"rounds": config.rounds} | numbers | provenance()])


if __name__ == "__main__":
    main(tyro.cli(Config))
