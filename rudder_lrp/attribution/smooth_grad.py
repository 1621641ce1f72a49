"""SmoothGrad: the gradient averaged over noisy copies of the input."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from rudder_lrp.attribution.base import LSTMAttribution, ask_captum, captum_attr


@dataclass(eq=False)
class SmoothGrad(LSTMAttribution):
    """Gradient times input averaged over noisy inputs (Smilkov et al. 2017), by Captum's `NoiseTunnel`.

    One sequence at a time, so that its noise depends on the seed and its length alone.

    Args:
        lstm: see `LSTMAttribution`.
        readout: see `LSTMAttribution`.
        samples: noisy copies of each sequence.
        noise: standard deviation of the noise, in units of the inputs.
        seed: of the noise; the global random state is left as it was.
        reads: see `LSTMAttribution`.

    Raises:
        ValueError: if `samples` is below 1 or `noise` negative.
    """

    _: KW_ONLY
    samples: int = 25
    noise: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1 or self.noise < 0:
            raise ValueError(f"SmoothGrad needs samples >= 1 and noise >= 0, got {self.samples} and {self.noise}")

    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        relevance = torch.zeros_like(inputs)
        for sequence, length in enumerate(lengths.tolist()):
            members = slice(sequence, sequence + 1)
            relevance[members, :length] = self._of_one(inputs[members, :length], lengths[members], target[members])
        return relevance

    def _of_one(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        attr = captum_attr()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return ask_captum(
                attr.NoiseTunnel(attr.InputXGradient(self.score)),
                inputs.clone().requires_grad_(),
                lengths,
                target,
                nt_samples=self.samples,
                stdevs=self.noise,
            )
