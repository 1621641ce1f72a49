"""How fast LRP of a whole model is: as a multiple of forward + backward of the same model, and beside Captum's IG.

    python scripts/benchmark_whole_models.py

An embedding, two layers of both directions, attention, a head. LRP and forward + backward take turns within one
process, and integrated gradients follow; a number is the median over the rounds of processor time. Memory is what each
adds to the peak of a fresh process. The table goes into the page.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn

from rudder_lrp.attribution import CaptumAttribution
from rudder_lrp.lrp import LRP
from studies.pages import fill, table
from studies.pieces import RESULTS, record, write


@dataclass(frozen=True)
class Config:
    """What to measure."""

    batch: int = 32
    steps: int = 200
    hidden: int = 128
    rounds: int = 5
    quadrature: int = 50
    """Steps of integrated gradients, measured once."""
    longest: int = 10_000
    """Steps of the longest sequence, which is explained once."""
    output: Path = RESULTS
    page: Path = Path("docs/whole_models.md")


class Classifier(nn.Module):
    """What people build."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 64)
        self.core = getattr(nn, cell)(64, hidden, 2, batch_first=True, bidirectional=True)
        self.score, self.head = nn.Linear(2 * hidden, 1), nn.Linear(2 * hidden, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `[B, 5]` of tokens `[B, T]`."""
        states = self.core(self.embedding(tokens))[0]
        weights = self.score(torch.tanh(states)).softmax(1)
        return self.head((weights * states).sum(1))


def once(function: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def seconds(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor time of each; they take turns, after each has been called once."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            one = once(function)
            if turn:
                taken[name].append(one)
    return {name: statistics.median(values) for name, values in taken.items()}


def forward_backward(model: nn.Module, tokens: Tensor) -> None:
    """Gradients of all weights, as in training."""
    model.zero_grad()
    model(tokens)[:, 0].sum().backward()


def prepared(cell: str, config: Config) -> tuple[Classifier, Tensor]:
    """The model and its tokens, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Classifier(cell, config.hidden).eval(), torch.randint(0, 1000, (config.batch, config.steps))


def timed(cell: str, config: Config) -> dict[str, Any]:
    """Times of one model and their ratios."""
    model, tokens = prepared(cell, config)
    lrp, gradients = LRP(model), CaptumAttribution(model, n_steps=config.quadrature, internal_batch_size=config.batch)
    both = {
        "LRP": partial(lrp.attribute, tokens, 0),
        "forward + backward": partial(forward_backward, model, tokens),
    }
    taken = seconds(both, config.rounds)
    longest = torch.randint(0, 1000, (1, config.longest))
    return {
        "LRP / (forward + backward)": taken["LRP"] / taken["forward + backward"],
        "integrated gradients / LRP": once(partial(gradients.attribute, tokens, 0)) / taken["LRP"],
        "forward + backward, s": taken["forward + backward"],
        f"LRP of {config.longest} steps, s": once(partial(lrp.attribute, longest, 0)),
    }


def lifted(what: str, cell: str, config: Config) -> float:
    """What LRP, or forward + backward, adds to the peak of memory in MiB, after a first call on next to nothing."""
    model, tokens = prepared(cell, config)
    run = partial(LRP(model).attribute, target=0) if what == "LRP" else partial(forward_backward, model)
    run(tokens[:1, :2])
    start = peak()
    run(tokens)
    return peak() - start


def peak() -> float:
    """Peak memory of this process in MiB (Linux)."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


def main() -> None:
    """Run from the command line."""
    config = tyro.cli(Config)
    settings = {name: str(value) for name, value in asdict(config).items()}
    result: dict[str, Any] = record("python scripts/benchmark_whole_models.py") | {"settings": settings}
    for cell in ("LSTM", "GRU"):
        result[cell] = fresh(timed, cell, config) | {
            f"MiB, {what}": fresh(lifted, what, cell, config) for what in ("LRP", "forward + backward")
        }
        print(cell, result[cell], flush=True)
    write(config.output, "whole models", result)
    config.page.write_text(fill(config.page.read_text(), {"speed": rows(result)}))


def fresh(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def rows(result: dict[str, Any]) -> str:
    """The table of the page, a column a model."""
    cells = ("LSTM", "GRU")
    return table(["", *cells], [[name, *(f"{result[cell][name]:.3g}" for cell in cells)] for name in result["LSTM"]])


if __name__ == "__main__":
    main()
