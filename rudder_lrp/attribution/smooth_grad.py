"""SmoothGrad: the gradient averaged over noisy copies of the input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rudder_lrp.attribution.base import LSTMAttribution, Reads, captum_attr


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

    def __init__(
        self,
        lstm: nn.LSTM,
        readout: nn.Module,
        *,
        samples: int = 25,
        noise: float = 0.1,
        seed: int = 0,
        reads: Reads = "hidden",
    ) -> None:
        super().__init__(lstm, readout, reads=reads)
        if samples < 1 or noise < 0:
            raise ValueError(f"SmoothGrad needs samples >= 1 and noise >= 0, got {samples} and {noise}")
        self.samples = samples
        self.noise = noise
        self.seed = seed

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
            smooth: Tensor = attr.NoiseTunnel(attr.InputXGradient(self.score)).attribute(
                inputs.clone().requires_grad_(),
                nt_samples=self.samples,
                stdevs=self.noise,
                additional_forward_args=(lengths, target),
            )
        return smooth
