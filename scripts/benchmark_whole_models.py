"""How fast LRP of a whole model is: as a multiple of forward + backward of the same model, and beside Captum's IG.

    python scripts/benchmark_whole_models.py

An embedding, two layers of both directions, attention, a head. Everything is measured in turn within one process; a
number is the median over the rounds of processor time.
"""

from __future__ import annotations

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

from rudder_lrp.attribution import CaptumAttribution
from rudder_lrp.lrp import LRP
from studies.pieces import RESULTS, record, write


@dataclass(frozen=True)
class Config:
    """What to measure."""

    batch: int = 32
    steps: int = 200
    hidden: int = 128
    rounds: int = 3
    quadrature: int = 50
    """Steps of integrated gradients, measured once."""
    longest: int = 10_000
    """Steps of the longest sequence, which is explained once."""
    output: Path = RESULTS


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


def seconds(function: Callable[[], object], rounds: int) -> float:
    """Median processor time after one warm-up."""
    taken = []
    for turn in range(rounds + 1):
        start = time.process_time()
        function()
        if turn or rounds == 0:
            taken.append(time.process_time() - start)
    return statistics.median(taken)


def forward_backward(model: nn.Module, tokens: Tensor) -> None:
    """Gradients of all weights, as in training."""
    model.zero_grad()
    model(tokens)[:, 0].sum().backward()


def measure(cell: str, config: Config) -> dict[str, Any]:
    """Times of one model, ratios, and what LRP adds to the peak of memory."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Classifier(cell, config.hidden).eval()
    tokens = torch.randint(0, 1000, (config.batch, config.steps))
    lrp, gradients = LRP(model), CaptumAttribution(model, n_steps=config.quadrature, internal_batch_size=config.batch)
    start = peak()
    explain = seconds(partial(lrp.attribute, tokens, 0), config.rounds)
    of_lrp = peak() - start
    training = seconds(partial(forward_backward, model, tokens), config.rounds)
    of_both = peak() - start
    integrated = seconds(partial(gradients.attribute, tokens, 0), 0) if config.quadrature else float("nan")
    longest = torch.randint(0, 1000, (1, config.longest))
    return {
        "LRP / (forward + backward)": explain / training,
        "integrated gradients / LRP": integrated / explain,
        "forward + backward, s": training,
        "MiB at the peak: LRP; then forward + backward too": [of_lrp, of_both],
        f"LRP of {config.longest} steps, s": seconds(partial(lrp.attribute, longest, 0), 0),
    }


def peak() -> float:
    """Peak memory of this process in MiB (Linux)."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


def main() -> None:
    """Run from the command line."""
    config = tyro.cli(Config)
    settings = {name: str(value) for name, value in asdict(config).items()}
    result: dict[str, Any] = record("python scripts/benchmark_whole_models.py") | {"settings": settings}
    for cell in ("LSTM", "GRU"):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:  # for the peak of its memory
            result[cell] = fresh.submit(measure, cell, config).result()
        print(cell, result[cell], flush=True)
    write(config.output, "whole models", result)


if __name__ == "__main__":
    main()
