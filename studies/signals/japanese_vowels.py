"""JapaneseVowels (Kudo et al. 1999) from sktime's wheel: nine speakers by 7 to 29 frames of twelve coefficients.

Faithfulness correlation by Quantus (Bhatt et al. 2020), maximal sensitivity by Captum (Yeh et al. 2019), and whether
relevance follows the model when its layers are made random (Adebayo et al. 2018).
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.attribution import CaptumAttribution
from rudder_lrp.lrp import LRP
from studies.packages import fetch
from studies.randomisation import cascade

REQUIREMENT = "sktime==1.2.0"
FRAMES = 29


def load(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Utterances `[N, 29, 12]`, padded with zeros, and speakers `[N]`, for training and test."""
    with zipfile.ZipFile(fetch(REQUIREMENT, folder)) as wheel:
        files = {part: f"sktime/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts" for part in ("TRAIN", "TEST")}
        return {part: parse(wheel.read(name).decode()) for part, name in files.items()}


def parse(text: str) -> tuple[Tensor, Tensor]:
    """Read the `.ts` format: one utterance a line, dimensions parted by colons, the class at the end."""
    utterances, speakers = [], []
    for line in io.StringIO(text):
        if not line.strip() or line[0] in "#@":
            continue
        *dimensions, speaker = line.strip().split(":")
        rows = torch.tensor(
            [[float(value) for value in dimension.split(",") if value != "?"] for dimension in dimensions]
        )
        utterances.append(nn.functional.pad(rows.T, (0, 0, 0, FRAMES - rows.shape[1])))
        speakers.append(int(speaker) - 1)
    return torch.stack(utterances), torch.tensor(speakers)


class SpeakerClassifier(nn.Module):
    """A bidirectional GRU, the mean over the frames that are spoken, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.GRU(12, 32, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(64)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(64, 9)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, 9]` of utterances `[B, 29, 12]`."""
        spoken = (x != 0).any(2, keepdim=True)
        states = self.dropout(self.norm(self.core(x)[0]))
        return self.head((states * spoken).sum(1) / spoken.sum(1).clamp(min=1))


def train(data: dict[str, tuple[Tensor, Tensor]], epochs: int, seed: int = 0) -> SpeakerClassifier:
    """Adam, batches of 32."""
    torch.manual_seed(seed)
    model, (x, y) = SpeakerClassifier(), data["TRAIN"]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


Explain = Callable[[Tensor, Tensor], Tensor]


def methods(model: nn.Module) -> dict[str, Explain]:
    """From utterances and speakers to relevance like the utterances, by name."""
    rules: dict[str, dict[str, Any]] = {f"LRP-{rule}": {"rule": rule} for rule in ("all", "half", "prop", "abs")}
    rules["LRP-all, norm passes"] = {"rules": {nn.LayerNorm: "identity"}}
    found: dict[str, Explain] = {name: LRP(model, **options).attribute for name, options in rules.items()}
    captum: dict[str, tuple[str, dict[str, Any]]] = {
        "gradient x input": ("InputXGradient", {}),
        "integrated gradients": ("IntegratedGradients", {"n_steps": 50}),
    }
    return found | {name: CaptumAttribution(model, at, **options).attribute for name, (at, options) in captum.items()}


def measure(folder: Path, quick: bool = False) -> dict[str, Any]:
    """Train once and measure every method on the test utterances that are classified rightly."""
    data = load(folder / "package")
    model = train(data, 1 if quick else 40)
    x, y = data["TEST"]
    right = model(x).argmax(1) == y
    chosen = right.nonzero()[: 5 if quick else 100, 0]
    rows = {name: _row(model, name, x[chosen], y[chosen]) for name in methods(model)}
    return {"accuracy": float(right.float().mean()), "utterances": len(chosen), "methods": rows}


def _row(model: nn.Module, name: str, x: Tensor, y: Tensor) -> dict[str, Any]:
    from captum.metrics import sensitivity_max

    start = time.process_time()
    relevance = methods(model)[name](x, y)
    seconds = time.process_time() - start
    torch.manual_seed(0)
    few = slice(0, 20)
    return {
        "seconds": seconds,
        "faithfulness correlation": _faithfulness(model, x, y, relevance),
        "maximal sensitivity": float(sensitivity_max(methods(model)[name], x[few], target=y[few]).mean()),
        "randomisation": cascade(
            model, ["head", "norm", "core"], x, lambda model: lambda x: methods(model)[name](x, y)
        ),
    }


class _ChannelsFirst(nn.Module):
    """The model on `[B, 12, 29]`, as Quantus has it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.mT)


def _faithfulness(model: nn.Module, x: Tensor, y: Tensor, relevance: Tensor) -> float:
    """Correlation of the relevance of a set of inputs with what the output loses without them, by Quantus."""
    import quantus

    np.random.seed(0)
    metric = quantus.FaithfulnessCorrelation(
        nr_runs=50,
        subset_size=20,
        perturb_baseline="black",
        normalise=False,
        return_aggregate=False,
        disable_warnings=True,
    )
    turned, given = _ChannelsFirst(model).eval(), (x.mT.numpy(), y.numpy(), relevance.mT.numpy())
    scores = metric(model=turned, **dict(zip(("x_batch", "y_batch", "a_batch"), given, strict=True)), softmax=False)
    return float(np.nanmean(scores))
