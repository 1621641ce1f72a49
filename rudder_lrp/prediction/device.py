"""Where a predictor computes, by name."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import torch


class Device(StrEnum):
    """Where the predictor's network is trained, asked and explained; returns and rewards are on the CPU in any case."""

    AUTO = "auto"
    """A GPU, if there is one."""
    CPU = "cpu"
    """The processor; at the sizes of the defaults a GPU gains little, as each of its calls is small."""
    CUDA = "cuda"
    """The current GPU of CUDA."""
    MPS = "mps"
    """The GPU of an Apple processor."""

    def found(self) -> torch.device:
        """The device of PyTorch.

        Raises:
            ValueError: if there is none, naming those there are.
        """
        there = [name for name, is_there in _THERE.items() if is_there()]
        if self is Device.AUTO:
            return torch.device(there[0])
        if self not in there:
            raise ValueError(
                f"device {self.value!r} is not there; PyTorch finds {', '.join(there)}: name one of them, or 'auto'"
            )
        return torch.device(self.value)


_THERE: dict[Device, Callable[[], bool]] = {
    Device.CUDA: torch.cuda.is_available,
    Device.MPS: torch.backends.mps.is_available,
    Device.CPU: lambda: True,
}
"""Whether a device is there, the one to prefer first."""
