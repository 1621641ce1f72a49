"""How fast LRP is: ratios to forward + backward of the same `nn.LSTM`, to other methods, and scaling.

    python scripts/benchmark_lrp.py --threads 2 --output results/lrp_speed.json

Everything is measured in turn within one process, a number is the median over the rounds of CPU or device time, and a
ratio compares numbers of the same rounds. On the CPU that is the CPU time of the process, all threads together, so
that what else the machine does counts little; wall time is written down beside it. Runs on a GPU with `--device cuda`.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn

from rudder_lrp.lrp import LRP, reference
from rudder_lrp.lrp.rules import Rules, epsilon, signal_takes_all
from rudder_lrp.lstm import Structure, constrain_
from rudder_lrp.versions import environment_versions

SHAPES = ((64, 200, 32, 64), (256, 200, 32, 64), (64, 1000, 32, 64), (32, 500, 64, 256), (1, 50, 32, 64))


@dataclass
class Config:
    """What to measure."""

    threads: int = 2
    rounds: int = 7
    device: str = "cpu"
    structures: tuple[Structure, ...] = (Structure.STANDARD, Structure.MARKOV, Structure.ACCUMULATOR)
    output: Path = Path("results/lrp_speed.json")
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


def against_autograd(shape: tuple[int, int, int, int], config: Config) -> dict[str, Any]:
    """LRP through each structure, as ratios to forward + backward through the same weights."""
    row: dict[str, Any] = {}
    for structure in config.structures:
        model = Model.random(shape, structure, config.device)
        functions = {
            "autograd": model.forward_backward,
            "LRP": model.explain(structure),
            "forward": model.forward,
        }
        taken = seconds(functions, config.rounds, config.device)
        row[structure.value] = {
            "ratio": round(taken["LRP"][0] / taken["autograd"][0], 3),
            "ratio of wall times": round(taken["LRP"][1] / taken["autograd"][1], 3),
            "ratio of the fused forward alone": round(taken["forward"][0] / taken["autograd"][0], 3),
            "forward + backward, ms": round(1000 * taken["autograd"][0], 2),
        }
    return row


def against_others(config: Config) -> dict[str, Any]:
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
    return {
        name: {
            measure: round(taken[rival][at] * calls / taken["LRP"][at], 1)
            for at, measure in enumerate(("processor time", "wall time"))
        }
        for name, (rival, calls) in times.items()
    }


def _step_by_step(model: Model) -> None:
    """The slow formulation on one sequence, in the same precision."""
    x = model.x[0].detach()
    R = torch.zeros(len(x), model.lstm.hidden_size, device=x.device)
    R[-1] = 1.0
    with torch.no_grad():
        reference.attribute(model.lstm, x, R, Rules(signal_takes_all, epsilon, 1e-3, False))


def scaling(config: Config) -> dict[str, dict[int, float]]:
    """Microseconds a step and sequence; the same number everywhere means linear."""
    by_length = {T: (8, T, 32, 64) for T in (100, 1000, config.longest)}
    by_batch = {B: (B, 100, 32, 64) for B in (64, 256, config.largest)}
    return {
        name: {size: round(_microseconds_a_step(shape, config), 2) for size, shape in shapes.items()}
        for name, shapes in (("by length, B = 8", by_length), ("by batch, T = 100", by_batch))
    }


def _microseconds_a_step(shape: tuple[int, int, int, int], config: Config) -> float:
    model = Model.random(shape, Structure.STANDARD, config.device)
    taken = seconds({"LRP": model.explain(Structure.STANDARD)}, 3, config.device)
    return 1e6 * taken["LRP"][0] / (shape[0] * shape[1])


def peak_memory(config: Config) -> dict[str, float]:
    """By how many MiB each pass lifts the memory of a fresh process (or the device), and the ratio."""
    peaks = {}
    for name in ("autograd", "LRP"):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            peaks[name] = fresh.submit(_peak, name, config.device).result()
    return {name: round(peak, 1) for name, peak in peaks.items()} | {
        "ratio": round(peaks["LRP"] / peaks["autograd"], 3)
    }


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


def main(config: Config) -> None:
    """Measure, print and write the table, one part after the other."""
    torch.set_num_threads(config.threads)
    result: dict[str, Any] = {
        "command": "python scripts/benchmark_lrp.py",
        "config": {name: str(value) for name, value in asdict(config).items()},
        "versions": environment_versions(),
    }
    parts: dict[str, Callable[[], Any]] = {
        f"LRP / (forward + backward of the same nn.LSTM), B, T, F, H = {shape}": partial(
            against_autograd, shape, config
        )
        for shape in SHAPES
    }
    parts["times faster than"] = partial(against_others, config)
    parts["microseconds a step and sequence"] = partial(scaling, config)
    parts["MiB at the peak, B, T, F, H = 64, 1000, 32, 64"] = partial(peak_memory, config)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    for name, measure in parts.items():
        result[name] = measure()
        print(name, result[name], flush=True)
        config.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config))
