from __future__ import annotations

import sys

import pytest
import torch

from rudder_lrp.prediction.device import Device
from scripts import benchmark_gpu
from scripts.benchmark_gpu import Options, trained

SMALL = Options(shape=(2, 5, 3, 8), hidden_sizes=(8,), lessons=12, steps=6, updates=2, rounds=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_ends_in_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark_gpu.py"])
    with pytest.raises(SystemExit, match=r"PyTorch finds no GPU of CUDA.*run it where there is one"):
        benchmark_gpu.main()


def test_training_is_measured_on_any_device() -> None:
    assert trained(SMALL, Device.CPU, 8) > 0.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch finds")
def test_on_a_gpu_every_structure_and_size_has_a_row() -> None:
    rows = benchmark_gpu.measure(SMALL)
    assert len(rows) == len(SMALL.structures) + len(SMALL.hidden_sizes)
    assert all(value > 0.0 for row in rows.values() for value in row.values())
