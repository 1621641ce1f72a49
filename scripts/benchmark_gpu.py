"""What a GPU makes of it: LRP beside forward + backward of the same `nn.LSTM`, and how fast a predictor is trained.

    python scripts/benchmark_gpu.py

Everything takes turns in one process; a number is the median of the rounds, and the processor's own training throughput
stands beside the GPU's.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from gymnasium import spaces

from rudder_lrp import CreditConfig, ReturnPredictor, TrainingConfig
from rudder_lrp.episodes.lessons import Lesson, LessonBuffer
from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.device import Device
from rudder_lrp.prediction.training import Trainer
from scripts.benchmark_lrp import Model, seconds
from studies.provenance import provenance
from studies.results import ResultTable

SPACES = (spaces.Box(-1.0, 1.0, (8,), np.float32), spaces.Discrete(4))
"""As LunarLander's."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    shape: tuple[int, int, int, int] = (256, 500, 64, 512)
    """Sequences, steps, inputs and cells of the LSTM that is explained."""
    structures: tuple[Structure, ...] = tuple(Structure)
    hidden_sizes: tuple[int, ...] = (64, 512)
    """Cells of the predictors that are trained."""
    lessons: int = 300
    steps: int = 300
    """Of each lesson."""
    updates: int = 40
    rounds: int = 5
    output: Path | None = None
    """A result table to add the rows to, as `results/lrp_speed.jsonl`."""


def explained(options: Options) -> dict[str, dict[str, float]]:
    """Seconds of LRP through each structure, and as multiples of forward + backward through the same weights."""
    found = {}
    for structure in options.structures:
        model = Model.random(options.shape, structure, "cuda")
        taken = seconds({"autograd": model.forward_backward, "LRP": model.explain(structure)}, options.rounds, "cuda")
        lrp, autograd = taken["LRP"][1], taken["autograd"][1]
        found[f"LRP, {structure}"] = {"seconds": round(lrp, 5), "ratio": round(lrp / autograd, 3)}
    return found


def trained(options: Options, device: Device, hidden_size: int) -> float:
    """Lesson steps that training takes in each second, of one round of a predictor with the default options."""
    predictor = ReturnPredictor.for_spaces(*SPACES, hidden_size=hidden_size, members=CreditConfig().members)
    predictor.move_(device.found())
    rng, buffer = np.random.default_rng(0), LessonBuffer(options.lessons)
    for _ in range(options.lessons):
        features = rng.normal(size=(options.steps, len(predictor.features))).astype(np.float32)
        buffer.add(Lesson(features, np.append(np.zeros(options.steps - 1), features[:, 0].sum())))
    config = TrainingConfig(updates=options.updates, batch_steps=32 * options.steps)
    trainer, taken = Trainer(predictor, config), []
    for _ in range(options.rounds + 1):
        begun = time.perf_counter()
        trainer.train(buffer)  # ends with numbers on the CPU, so that nothing is left to wait for
        taken.append(time.perf_counter() - begun)
    return config.updates * config.batch_steps / statistics.median(taken[1:])


def measure(options: Options) -> dict[str, dict[str, float]]:
    """All rows by what they are of."""
    rows = explained(options)
    for hidden_size in options.hidden_sizes:
        gpu, cpu = (trained(options, device, hidden_size) for device in (Device.CUDA, Device.CPU))
        rows[f"training, {hidden_size} cells"] = {"steps_per_second": round(gpu), "ratio": round(gpu / cpu, 2)}
    return rows


def main() -> None:
    """Measure and print; without a GPU, one sentence and exit status 1."""
    options = tyro.cli(Options, config=(tyro.conf.EnumChoicesFromValues,))
    if not torch.cuda.is_available():
        sys.exit("error: PyTorch finds no GPU of CUDA, and this benchmark is of one; run it where there is one")
    rows, name = measure(options), torch.cuda.get_device_name()
    for case, numbers in rows.items():
        print(case, numbers, flush=True)
    if options.output is not None:
        key = {"device": name, "threads": torch.get_num_threads(), "part": "GPU"}
        ResultTable(options.output, "lrp_speed").add(
            key | {"case": case} | numbers | provenance() for case, numbers in rows.items()
        )


if __name__ == "__main__":
    main()
